"""A directory of files on a real disk: which files count, and that every kind of change is noticed."""

import asyncio

import pytest

from tidegate.store import tree
from tidegate.store.bell import Bell
from tidegate.store.files import FileSource
from tidegate.store.tree import StoreError

TIER = "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {{name: {}}}\nspec: {{order: {}}}\n"


def put(path, name="x", order=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(TIER.format(name, order))


def told(changes):
    return {update.key.name: update.resource and update.resource.spec.order for update in changes.updates}


def follow(directory, *steps, patience=5.0):
    """Loads the directory, then after each step gives what was told next."""

    async def run():
        source = FileSource(directory)
        found = [source.load()]
        following = source.changes()
        for step in steps:
            waiting = asyncio.ensure_future(anext(following))
            await asyncio.sleep(0.02)
            step()
            found.append(await asyncio.wait_for(waiting, patience))
        await following.aclose()
        return found

    return asyncio.run(run())


def test_files_that_count_are_found_at_any_depth_in_order(tmp_path):
    for name in ("b.yaml", "a/z.yml", "a/b/c.json", "B.yaml"):
        put(tmp_path / name)
    for name in (".hidden.yaml", "a/.git/x.yaml", "x.yaml~", "x.yaml.swp", "README.md", "#x.yaml#", "yaml"):
        put(tmp_path / name)
    assert list(tree.scan(tmp_path).files) == ["B.yaml", "a/b/c.json", "a/z.yml", "b.yaml"]


def test_a_file_stands_for_itself(tmp_path):
    put(tmp_path / "policy.txt")
    assert list(tree.scan(tmp_path / "policy.txt").files) == ["policy.txt"]
    assert told(FileSource(tmp_path / "policy.txt").load()) == {"x": 1}


def test_links_are_followed_but_not_in_circles_and_dangling_ones_are_left_out(tmp_path):
    put(tmp_path / "elsewhere" / "x.yaml")
    root = tmp_path / "root"
    root.mkdir()
    (root / "one.yaml").symlink_to(tmp_path / "elsewhere" / "x.yaml")
    (root / "more").symlink_to(tmp_path / "elsewhere")
    (root / "self").symlink_to(root)
    (root / "up").symlink_to(tmp_path)
    (root / "gone.yaml").symlink_to(tmp_path / "nowhere")
    found = list(tree.scan(root).files)
    assert "one.yaml" in found
    assert "more/x.yaml" in found
    assert not [name for name in found if name.startswith("self") or "gone" in name]
    assert len(found) < 10


def test_a_root_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(StoreError, match=r"cannot read .*nowhere: No such file"):
        FileSource(tmp_path / "nowhere").load()


def test_too_many_files_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(tree, "MAX_FILES", 2)
    for number in range(3):
        put(tmp_path / f"{number}.yaml")
    with pytest.raises(StoreError, match="more than 2 files"):
        tree.scan(tmp_path)


def test_files_written_added_and_removed_are_noticed(tmp_path):
    put(tmp_path / "a.yaml", "x", 1)
    found = follow(
        tmp_path,
        lambda: put(tmp_path / "a.yaml", "x", 2),
        lambda: put(tmp_path / "deep/er/b.yaml", "y", 3),
        (tmp_path / "a.yaml").unlink,
    )
    assert list(map(told, found)) == [{"x": 1}, {"x": 2}, {"y": 3}, {"x": None}]


def test_editors_that_rename_are_noticed(tmp_path):
    put(tmp_path / "a.yaml", "x", 1)

    def save():
        put(tmp_path / ".a.yaml.new", "x", 2)
        (tmp_path / "a.yaml").rename(tmp_path / "a.yaml~")
        (tmp_path / ".a.yaml.new").rename(tmp_path / "a.yaml")

    assert list(map(told, follow(tmp_path, save))) == [{"x": 1}, {"x": 2}]


def test_editors_that_write_in_pieces_are_not_read_halfway(tmp_path):
    path = tmp_path / "a.yaml"
    put(path, "x", 1)

    def save():
        text = TIER.format("x", 2)
        for end in range(0, len(text) + 1, 20):
            path.write_text(text[:end])
        path.write_text(text)

    assert [(told(changes), changes.problems) for changes in follow(tmp_path, save)] == [({"x": 1}, ()), ({"x": 2}, ())]


def test_a_mounted_config_map_is_noticed_when_it_changes(tmp_path):
    def mount(version, order):
        directory = tmp_path / f"..{version}"
        put(directory / "policy.yaml", "x", order)
        put(directory / "sub" / "more.yaml", "y", order)
        (tmp_path / "..data_tmp").symlink_to(directory.name)
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")

    mount("2026_1", 1)
    (tmp_path / "policy.yaml").symlink_to("..data/policy.yaml")
    (tmp_path / "sub").symlink_to("..data/sub")
    found = follow(tmp_path, lambda: mount("2026_2", 2))
    assert list(map(told, found)) == [{"x": 1, "y": 1}, {"x": 2, "y": 2}]


def test_a_change_behind_a_link_is_noticed_without_a_bell(tmp_path, monkeypatch):
    monkeypatch.setattr("tidegate.store.files.POLL_SECONDS", 0.1)
    put(tmp_path / "elsewhere" / "x.yaml", "x", 1)
    root = tmp_path / "root"
    root.mkdir()
    (root / "x.yaml").symlink_to(tmp_path / "elsewhere" / "x.yaml")
    found = follow(root, lambda: put(tmp_path / "elsewhere" / "x.yaml", "x", 2))
    assert list(map(told, found)) == [{"x": 1}, {"x": 2}]


def test_a_file_that_becomes_invalid_is_told_and_its_meaning_stays(tmp_path):
    put(tmp_path / "a.yaml", "x", 1)
    found = follow(
        tmp_path,
        lambda: (tmp_path / "a.yaml").write_text("kind: ["),
        lambda: put(tmp_path / "a.yaml", "x", 3),
    )
    assert list(map(told, found)) == [{"x": 1}, {}, {"x": 3}]
    assert [problem.kind for problem in found[1].problems] == ["StaleResource"]
    assert found[2].problems == ()


def test_a_directory_that_vanishes_keeps_its_meaning_and_is_read_again(tmp_path):
    root = tmp_path / "root"
    put(root / "a.yaml", "x", 1)
    found = follow(
        root,
        lambda: root.rename(tmp_path / "away"),
        lambda: (tmp_path / "away").rename(root),
        lambda: put(root / "a.yaml", "x", 2),
    )
    assert list(map(told, found)) == [{"x": 1}, {}, {}, {"x": 2}]
    assert [(problem.kind, problem.file) for problem in found[1].problems] == [("StaleResource", str(root))]
    assert found[2].problems == ()


def test_a_file_that_cannot_be_read_keeps_its_meaning(tmp_path, monkeypatch):
    put(tmp_path / "a.yaml", "x", 1)
    real = tree.content
    refusing = []

    def content(root, name):
        if refusing:
            raise StoreError("cannot read the file: Permission denied")
        return real(root, name)

    monkeypatch.setattr(tree, "content", content)
    found = follow(tmp_path, lambda: (refusing.append(1), put(tmp_path / "a.yaml", "x", 2)))
    assert told(found[1]) == {}
    assert [problem.message for problem in found[1].problems] == [
        "cannot read the file: Permission denied (still in force as last valid: Tier x)"
    ]


def test_a_bell_rings_once_for_what_happened_and_is_silent_otherwise(tmp_path):
    async def run():
        bell = Bell()
        assert bell.is_working
        bell.watch([tmp_path])
        assert not await bell.wait(0.05)
        put(tmp_path / "a.yaml")
        assert await bell.wait(1)
        assert not await bell.wait(0.05)
        bell.close()
        bell.close()
        assert not await bell.wait(0.01)

    asyncio.run(run())

# Tidegate's recipes; `./justw` lists them. CI calls these and nothing else.

export UV_PYTHON_DOWNLOADS := "never"
export UV_LOCKED := "1"
export NO_COLOR := env("NO_COLOR", "")
python := ".venv/bin/python"
bin := ".venv/bin"

# list the recipes
_default:
    @just --list --unsorted

# install the distribution packages and the locked environment (minutes the first time, seconds after)
setup:
    @deploy/setup.sh
    @deploy/native.sh

# show the main job on real packets: names learned, connections allowed and denied, and why (root)
demo *ARGS: setup
    @{{bin}}/tidegate demo {{ARGS}}

# every test there is but the long ones: lint, pure, fakes, real kernel, examples (root)
test *ARGS: setup lint
    @{{python}} -m pytest {{ARGS}}

# the tests that need neither root nor a network, in a namespace with nothing but its loopback
fast *ARGS: setup
    unshare -cn --keep-caps sh -c 'ip link set lo up && exec setpriv --ambient-caps=-all --inh-caps=-all "$@"' sh \
      {{python}} -m pytest -m "not kernel" {{ARGS}}

# the tests on the real kernel: namespaces, nftables, queues (root)
kernel *ARGS: setup
    {{python}} -m pytest -m kernel {{ARGS}}

# compare the golden nft files with what is rendered; --update writes them anew
golden *ARGS: setup
    {{python}} -m tests.render.golden_files {{ARGS}}

# judge so many random cases by the reference semantics and by the rendered rules, on every core
oracles CASES="200000" *ARGS: setup
    {{python}} -m tests.oracles {{CASES}} {{ARGS}}

# judge so many random packets by both and by the kernel, in namespaces (root)
oracles-kernel CASES="1000" *ARGS: setup
    {{python}} -m tests.oracles --kernel {{CASES}} {{ARGS}}

# the tests on a real kube-apiserver and etcd, which are built once and kept outside the tree (root, Go; minutes at first)
kube *ARGS: setup
    tests/tools/build.sh > /dev/null
    {{python}} -m pytest -m kube {{ARGS}}

# the nft and WireGuard tests under Debian's kernels in emulated machines: native queue, other timeouts (root, a minute each)
vm *PACKAGES: setup
    tests/vm/run.sh {{PACKAGES}}

# resolve and connect a million times while policy changes and the control process is killed every minute (root)
soak *ARGS: setup
    @{{python}} -m tests.soak {{ARGS}}

# the scenarios about size and time at full length, with latencies as promised: on a machine that does nothing else (root)
exact *ARGS: setup
    EXACT_SCENARIOS=1 {{python}} -m pytest tests/scenarios -k "d38 or d46 or d48" {{ARGS}}

# breed inputs for everything that reads what others write, guided by coverage, for so many seconds together
fuzz SECONDS="600": setup
    uv sync -q --inexact --group fuzz
    {{python}} -m tests.fuzz {{SECONDS}}

# so many hours of names that never repeat, in minutes
turnover HOURS="24" *ARGS: setup
    {{python}} -m bench.turnover --hours {{HOURS}} {{ARGS}}

# memory and round trips of the packet process at 100,000 names of four addresses (root)
names *ARGS: setup
    {{python}} -m bench.names {{ARGS}}

# answers a second, processor time and latency beside dnsmasq, smartdns and unbound, in one run (root)
bench *ARGS: setup
    {{python}} -m bench.dns {{ARGS}}

# 1,000 policies on 100 endpoints: cold start, one change, packets, connections (root)
bench-scale *ARGS: setup
    {{python}} -m bench.scale {{ARGS}}

# 500 WireGuard peers, and one more: the device alone, and all that the agent does (root)
bench-peers *ARGS: setup
    {{python}} -m bench.wireguard {{ARGS}}

# throughput from pod to pod beside WireGuard set up by hand, in pairs (root; `bare`: by hand and without an agent)
bench-tunnels PAIRS="30" *ARGS: setup
    {{python}} -m bench.tunnels {{PAIRS}} {{ARGS}}

# how cost grows from 1,000 to 10,000 policies (root)
bench-growth *ARGS: setup
    {{python}} -m bench.growth {{ARGS}}

# connections a second with and without Log rules, and the records of 100,000 of them (root)
bench-logs *ARGS: setup
    {{python}} -m bench.logs {{ARGS}}

# format the code
fmt: setup
    {{bin}}/ruff format -q .
    {{bin}}/ruff check -q --fix .

# format check, lint, types, import contracts, spelling
lint: setup
    {{bin}}/ruff format -q --check .
    {{bin}}/ruff check -q .
    {{bin}}/mypy
    {{bin}}/lint-imports --no-logo
    {{bin}}/codespell

# build the wheel, look at its contents, install it into a clean environment and run it
wheel: setup
    rm -rf dist
    uv build -q
    {{bin}}/check-wheel-contents dist/*.whl
    rm -rf .venv-wheel && uv venv -q .venv-wheel && uv pip install -q --python .venv-wheel dist/*.whl
    .venv-wheel/bin/tidegate --help > /dev/null && rm -rf .venv-wheel

# the largest files and functions; fails over the hard limits
sizes: setup
    {{python}} -m bench.sizes

# everything that needs no root
check: lint fast wheel sizes

# run the program: `./justw run -- status`
run *ARGS: setup
    {{bin}}/tidegate {{ARGS}}

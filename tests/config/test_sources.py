"""Flags over environment over file over default; every fault at once, each with its place."""

from pathlib import Path

import pytest

from dnsagent.snapshot import Mode
from tidegate.config import sources
from tidegate.config.dns import DNSPolicyMode
from tidegate.config.reference import reference
from tidegate.config.settings import Settings, knobs

ROOT = Path(__file__).parents[2]


def test_the_default_needs_no_source():
    configuration = sources.configure([])
    assert configuration.settings == Settings()
    assert {item["source"] for item in configuration.shown()} == {"default"}


def test_the_stronger_source_wins_and_is_named():
    file = sources.from_document("a.yaml", "dnsExtraTTL: 5s\ndnsTTLFloor: 5s\nlogPrefix: file")
    environment = sources.from_environment({"TIDEGATE_DNSEXTRATTL": "6", "TIDEGATE_LOGPREFIX": "env", "HOME": "/root"})
    flags = sources.from_flags(["logPrefix=flag"])
    configuration = sources.configure([file, environment, flags])
    assert configuration.settings.dns_extra_ttl_seconds == 6
    assert configuration.settings.dns_ttl_floor_seconds == 5
    assert configuration.settings.log_prefix == "flag"
    shown = {item["name"]: item for item in configuration.shown()}
    assert shown["dnsTTLFloor"] == {"name": "dnsTTLFloor", "value": "5s", "source": "a.yaml"}
    assert shown["dnsExtraTTL"]["source"] == "environment"
    assert shown["logPrefix"]["source"] == "flag"


def test_a_felix_configuration_document_is_read():
    text = (
        "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {name: default}\nspec: {dnsExtraTTL: 7s}"
    )
    assert sources.configure([sources.from_document("f", text)]).settings.dns_extra_ttl_seconds == 7


def test_calicos_other_name_and_case_of_the_mode_are_known():
    given = sources.from_document("f", "nftablesDNSPolicyMode: delaydeniedpacket")
    assert sources.configure([given]).settings.dns_policy_mode is DNSPolicyMode.DELAY_DENIED_PACKET
    assert DNSPolicyMode.INLINE.mode is Mode.DELAY_DNS_RESPONSE


def test_all_faults_are_told_at_once_each_with_its_place():
    file = sources.from_document("a.yaml", "dnsExtraTLL: 5s\ndnsTTLFloor: soon\nkey9zz: 1")
    environment = sources.from_environment({"TIDEGATE_DNSTTLCIELING": "1s"})
    with pytest.raises(sources.ConfigError) as caught:
        sources.configure([file, environment])
    told = {(fault.source, fault.name): fault.message for fault in caught.value.faults}
    assert told["a.yaml", "dnsExtraTLL"].endswith("did you mean dnsExtraTTL?")
    assert told["a.yaml", "dnsTTLFloor"] == "'soon' is not a duration like 1m30s"
    assert told["a.yaml", "key9zz"] == "cannot find a setting of that name"
    assert told["environment", "TIDEGATE_DNSTTLCIELING"].endswith("did you mean TIDEGATE_DNSTTLCEILING?")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("dnsTTLFloor: 2h\ndnsTTLCeiling: 1h", "dnsTTLFloor"),
        ("dnsPolicyNfqueueID: 101", "dnsPolicyNfqueueID"),
        ("nftablesMarkMask: 0x3", "nftablesMarkMask"),
        ("logTransport: nfqueue\nnftablesMarkMask: 0x7f", "nftablesMarkMask"),
        ("logTransport: nfqueue\nlogNfqueueID: 101", "logNfqueueID"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(text, name):
    with pytest.raises(sources.ConfigError) as caught:
        sources.configure([sources.from_document("f", text)])
    assert [(fault.source, fault.name) for fault in caught.value.faults] == [("f", name)]


def test_one_setting_by_two_names_is_refused():
    given = sources.from_document("f", "dnsPolicyMode: NoDelay\nnftablesDNSPolicyMode: NoDelay")
    with pytest.raises(sources.ConfigError, match="both name one setting"):
        sources.configure([given])


@pytest.mark.parametrize("text", ["a: [", "- 1", "just words"])
def test_a_file_that_is_no_map_is_one_fault(text):
    with pytest.raises(sources.ConfigError, match=r"^f\.yaml: cannot"):
        sources.from_document("f.yaml", text)


def test_a_flag_needs_a_value():
    with pytest.raises(sources.ConfigError, match="name=value"):
        sources.from_flags(["dnsExtraTTL"])


def test_names_are_unique_and_every_default_reads_as_itself():
    names = [name for knob in knobs().values() for name in knob.names]
    assert len(names) == len(set(names))
    for attribute, knob in knobs().items():
        default = getattr(Settings(), attribute)
        shown = knob.kind.show(default)
        assert knob.kind.parse("" if shown is None else shown) == default, knob.name


def test_the_reference_is_up_to_date():
    assert (ROOT / "docs" / "settings.md").read_text() == reference(), (
        "python -m tidegate.config.reference > docs/settings.md"
    )

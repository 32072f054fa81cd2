"""Golden files of the renderer: `just golden` compares, `just golden --update` writes them anew."""

import difflib
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path

from dnsagent.snapshot import Mode, TrustedServer
from nft.expr import RateLimit
from policy.hosts import FailsafePort
from policy.limits import Limits, Rate, TrafficLimits
from policy.rules import Action, DomainSetID, ICMPMatch, IPSetID, Stage
from tests.render.states import endpoint, host, policy, port, profile, state, tier, to, typical
from tidegate.config.packets import DenyAction, HostAction, SourceCheck
from tidegate.render import RenderSettings, render_table
from tidegate.render.script import script

DIRECTORY = Path(__file__).parent / "golden"
SERVERS = (
    TrustedServer(address=ip_address("10.96.0.10")),
    TrustedServer(address=ip_address("fd00:96::a")),
)


def every_criterion():
    """One policy with a rule for each kind of condition."""
    rules = (
        {"ip_version": 4, "protocol": 1, "icmp": ICMPMatch(8, 0)},
        {"protocol": 58, "not_icmp": ICMPMatch(128, 1)},
        {"protocol": 132, "source": to(ports=(port(1000, 2000),)), "destination": to(not_ports=(port(80), port(443)))},
        {"not_protocol": 136, "source": to(not_nets=(ip_network("10.0.0.0/8"),))},
        {"destination": to(nets=(ip_network("192.0.2.0/24"), ip_network("198.51.100.0/24"), ip_network("::/0")))},
        {"destination": to(sets=(IPSetID("a"),), not_sets=(IPSetID("b"),))},
        {"destination": to(port_sets=(IPSetID("web"), IPSetID("api")))},
        {"action": Action.LOG, "protocol": 6, "destination": to(ports=(port(22),), port_sets=(IPSetID("web"),))},
    )
    everything = policy("every-criterion", egress=rules)
    return state(
        endpoints=(endpoint("one", tiers=(tier(egress=(everything.id,)),)),),
        policies=(everything,),
        nets={"a": ("0.0.0.0/0", "fd00::/8"), "b": ()},
        ports={"web": (("10.65.0.9", 6, 80),), "api": ()},
    )


def shared():
    """Three endpoints, two of them under the same policies; a staged policy, a missing profile, one not active."""
    web, staged = policy("web", ingress=({},), egress=({},)), policy("later", ingress=({},), is_staged=True)
    same = {"tiers": (tier(ingress=(staged.id, web.id), egress=(web.id,)),), "profiles": ("kns.prod", "gone")}
    return state(
        endpoints=(
            endpoint("a", addresses=("10.65.0.2",), **same),
            endpoint("b", addresses=("10.65.0.3",), **same),
            endpoint("c", is_active=False, **same),
        ),
        policies=(web, staged, profile("kns.prod", ingress=({},), egress=({"action": Action.PASS},))),
    )


def loose():
    """An endpoint that may use further sources."""
    return state(endpoints=(endpoint("a", allowed_source_prefixes=(ip_network("192.0.2.0/24"), ip_network("::/0"))),))


def hosts():
    """An interface that is asked everywhere, one that has an open profile alone, and all the others."""
    web = policy("web", ingress=({"protocol": 6, "destination": to(ports=(port(80),))},), egress=({},))
    early = policy("early", stage=Stage.PRE_DNAT, ingress=({"source": to(sets=(IPSetID("office"),))},))
    flood = policy("flood", stage=Stage.UNTRACKED, ingress=({"protocol": 17},), egress=({"action": Action.DENY},))
    open_tier = {"default_action": Action.PASS}
    return state(
        endpoints=(endpoint("a"),),
        hosts=(
            host(
                "uplink",
                "eth0",
                "eth1",
                untracked=(tier(ingress=(flood.id,), egress=(flood.id,), **open_tier),),
                pre_dnat=(tier(ingress=(early.id,), **open_tier),),
                normal=(tier(ingress=(web.id,), egress=(web.id,)),),
                forward=(tier(ingress=(web.id,)),),
            ),
            host("management", "eth9", profiles=("open",)),
            host("others", "*", normal=(tier(ingress=(web.id,)),), pre_dnat=(tier(ingress=(early.id,), **open_tier),)),
        ),
        policies=(web, early, flood, profile("open", ingress=({},), egress=({},))),
        nets={"office": ("203.0.113.0/24",)},
    )


def limited():
    """An endpoint with every limit, and one that has the node's."""
    own = Limits(packets=Rate(100, 5), connections=Rate(10, 20), max_connections=7)
    limits = TrafficLimits(ingress=own, egress=own)
    return state(endpoints=(endpoint("a", limits=limits), endpoint("b", addresses=("10.65.0.3",))))


def bound():
    """A rule that binds its names: to networks connections pass unasked, to learned addresses they must name one."""
    names = to(domain_set=DomainSetID("github"), nets=(ip_network("192.0.2.0/24"),), ports=(port(443),))
    web = policy("web", egress=({"protocol": 6, "destination": names, "is_bound": True},))
    return state(
        endpoints=(endpoint("a", tiers=(tier(egress=(web.id,)),)),),
        policies=(web,),
        domains={"github": ("github.com",)},
    )


CASES = {
    "limited": (limited(), RenderSettings(ingress_connections_per_second=50, ends_connections=True)),
    "bound": (bound(), RenderSettings()),
    "empty": (state(), RenderSettings()),
    "ending": (state(), RenderSettings(ends_connections=True)),
    "typical": (typical(), RenderSettings(trusted_servers=SERVERS)),
    "criteria": (every_criterion(), RenderSettings()),
    "shared": (shared(), RenderSettings(dns_mode=Mode.DELAY_DENIED_PACKET)),
    "hosts": (
        hosts(),
        RenderSettings(
            failsafe_inbound=(FailsafePort(6, 22), FailsafePort(6, 22, ip_network("2001:db8::/32"))),
            failsafe_outbound=(FailsafePort(17, 53, ip_network("10.0.0.0/8")),),
        ),
    ),
    "loose": (
        loose(),
        RenderSettings(
            table_name="other",
            dns_mode=Mode.NO_DELAY,
            source_check=SourceCheck.LOOSE,
            honours_source_prefixes=True,
            endpoint_to_host=HostAction.RETURN,
            deny_action=DenyAction.REJECT,
            drops_invalid=False,
            allows_ipip=True,
            allows_vxlan=True,
            interface_prefixes=("cali", "tap"),
            log_limit=RateLimit(10, "minute", 5),
        ),
    ),
}


def rendered(name: str) -> str:
    return script(render_table(*CASES[name]))


def main(arguments: list[str]) -> int:
    different = 0
    for name in CASES:
        path, wanted = DIRECTORY / f"{name}.nft", rendered(name)
        if "--update" in arguments:
            path.write_text(wanted)
            continue
        have = path.read_text().splitlines() if path.exists() else []
        diff = list(difflib.unified_diff(have, wanted.splitlines(), str(path), "rendered", lineterm=""))
        different += bool(diff)
        print("\n".join(diff), end="\n" if diff else "")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

from tests.render.test_limits_kernel import *
import struct
from scapy.layers.l2 import Ether
from tests.oracles.replay import _layers, _mac
def frames(made, n, index=1):
    [p], iface = packets("egress", 4, [1])
    base = bytearray(bytes(Ether(src=_mac(index, far=True), dst=_mac(index)) / _layers(p, b"tidegate0000")))
    base[40:42] = b"\0\0"
    out=[]
    for k in range(n):
        b = bytearray(base); b[34:36] = struct.pack("!H", 1024+k); out.append(bytes(b))
    return iface, out
@pytest.mark.parametrize("limits", [Limits(), Limits(connections=Rate(1000000,1000000)), Limits(packets=Rate(1000000,1000000)), Limits(max_connections=60000)])
def test_cost(node, limits):
    made = node("egress", limits)
    made.namespace.sysctl(net__netfilter__nf_conntrack_udp_timeout=100)
    iface, all_frames = frames(made, 40000)
    s = made._sockets[iface]
    for part in range(0, 40000, 10000):
        t=time.process_time(); w=time.perf_counter()
        for f in all_frames[part:part+10000]: s.send(f)
        print(limits, part, "us per new connection", (time.perf_counter()-w)*100, "cpu", (time.process_time()-t)*100)

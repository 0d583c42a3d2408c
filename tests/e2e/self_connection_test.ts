import { assertEquals } from "../support/assert.ts";
import { IN_NETWORK_NAMESPACE, NETWORK_PROGRAMS, runInNetwork } from "../support/network.ts";
import { Daemon } from "../support/programs.ts";
import { serverTest } from "../servers/mod.ts";

/** With few local ports, a check of one of them soon uses that very port. */
const FEW_PORTS = [
  ...["sh", "-c"],
  'echo "40000 40015" > /proc/sys/net/ipv4/ip_local_port_range && exec "$@"',
  "sh",
];

serverTest(
  "a dead service is not up when a check connects to itself",
  NETWORK_PROGRAMS,
  async () => {
    await using daemon = await Daemon.start({
      wrapper: [...IN_NETWORK_NAMESPACE, ...FEW_PORTS],
      args: ["-p", "3333"],
    });
    const { stdout } = await runInNetwork(
      daemon,
      ...["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}\n", "-H", "Pragma: no-cache"],
      daemon.url("/tcp/web/[40000-40015]/[1-10]"),
    );
    assertEquals(stdout, "503\n".repeat(160));
  },
);

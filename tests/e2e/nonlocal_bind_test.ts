import { assert, assertEquals } from "../support/assert.ts";
import {
  getInNetwork,
  NETWORK_PROGRAMS,
  NetworkService,
  runInNetwork,
} from "../support/network.ts";
import { Daemon, TempFolder } from "../support/programs.ts";
import { serverTest, until } from "../servers/mod.ts";

/** Runs a program in its own network namespace, with or without nonlocal_bind. */
function inNetwork(nonlocalBind: boolean): string[] {
  const bind = nonlocalBind
    ? ["4", "6"].map((version) => `echo 1 >/proc/sys/net/ipv${version}/ip_nonlocal_bind`)
    : [];
  const script = [
    "PATH=$PATH:/usr/sbin:/sbin",
    "ip link set lo up",
    // An interface beside the loopback one, with a route to other hosts.
    "ip link add near type veth peer name far",
    "ip link set near up",
    "ip link set far up",
    "ip address add 10.9.8.7/24 dev near",
    "ip address add fd00::7/64 dev near nodad",
    ...bind,
    'exec "$@"',
  ];
  return ["unshare", "--map-root-user", "--net", "sh", "-c", script.join(" && "), "sh"];
}

/** The statuses of checks of a service at several addresses. */
async function statuses(
  daemon: Daemon,
  service: NetworkService,
  addresses: readonly string[],
): Promise<Record<string, number>> {
  const path = `/tcp/web/${service.port}`;
  const found: Record<string, number> = {};
  for (const address of addresses) {
    found[address] = (await getInNetwork(daemon, path, { "X-Nerve-Check-IP": address })).status;
  }
  return found;
}

async function reported(daemon: Daemon): Promise<unknown> {
  return JSON.parse((await getInNetwork(daemon, "/status")).body).own_addresses;
}

const CONFIG = "cache_time: 0\nhealthcheck_timeout: 1\ncheck_hosts: [10.9.8.9, 'fd00::9']\n";

/** A local address, one that is not listed, and one that is listed and dead, of each IP version. */
const ADDRESSES = ["10.9.8.7", "10.9.8.8", "10.9.8.9", "fd00::7", "fd00::8", "fd00::9"];

serverTest(
  "without nonlocal_bind, the addresses of this host are found by listening",
  NETWORK_PROGRAMS,
  async () => {
    await using daemon = await Daemon.start({ wrapper: inNetwork(false), config: CONFIG });
    await using service = await NetworkService.start(daemon, "::");
    const found = await statuses(daemon, service, ADDRESSES);
    assertEquals(found, {
      ...{ "10.9.8.7": 200, "10.9.8.8": 403, "10.9.8.9": 503 },
      ...{ "fd00::7": 200, "fd00::8": 403, "fd00::9": 503 },
    });
    assertEquals(await reported(daemon), { configured: false, nonlocal_bind: [] });
    assert(!(await daemon.stop()).includes("nonlocal_bind"), daemon.log);
  },
);

serverTest(
  "with nonlocal_bind, no address of another host counts as one of this host",
  NETWORK_PROGRAMS,
  async () => {
    await using daemon = await Daemon.start({ wrapper: inNetwork(true), config: CONFIG });
    await using service = await NetworkService.start(daemon, "::");
    const expected = {
      ...{ "10.9.8.7": 200, "10.9.8.8": 403, "10.9.8.9": 503 },
      // There is no test for IPv6: own_addresses is needed.
      ...{ "fd00::7": 403, "fd00::8": 403, "fd00::9": 503 },
    };
    for (let times = 0; times < 2; times++) {
      assertEquals(await statuses(daemon, service, ADDRESSES), expected);
    }
    assertEquals(await reported(daemon), { configured: false, nonlocal_bind: ["IPv4", "IPv6"] });
    for (const version of ["ipv4", "ipv6"]) {
      await daemon.logged(new RegExp(`WARNING net\\.${version}\\.ip_nonlocal_bind is on \\(`));
    }
    // The spool uses the same addresses.
    for (const host of ["10.9.8.7", "10.9.8.8"]) {
      daemon.writeRecord(`${host}:${host}:8080`, "maint");
      const path = `/spool/${host}/8080`;
      const status = host === "10.9.8.7" ? 503 : 200;
      await until("the record is known", async () => {
        const other = await getInNetwork(daemon, path, { "X-Nerve-Check-IP": host });
        return other.status === 503 && (await getInNetwork(daemon, path)).status === status;
      });
    }
  },
);

serverTest(
  "with own_addresses, exactly those addresses count as this host",
  NETWORK_PROGRAMS,
  async () => {
    for (const nonlocalBind of [false, true]) {
      await using daemon = await Daemon.start({
        wrapper: inNetwork(nonlocalBind),
        config: `${CONFIG}own_addresses: ['FD00:0::7', 10.9.8.7]\n`,
      });
      await using service = await NetworkService.start(daemon, "::");
      assertEquals(await statuses(daemon, service, ADDRESSES), {
        ...{ "10.9.8.7": 200, "10.9.8.8": 403, "10.9.8.9": 503 },
        ...{ "fd00::7": 200, "fd00::8": 403, "fd00::9": 503 },
      });
      const nonlocal_bind = nonlocalBind ? ["IPv4", "IPv6"] : [];
      assertEquals(await reported(daemon), { configured: true, nonlocal_bind });
      assert(!(await daemon.stop()).includes("ip_nonlocal_bind"), daemon.log);
    }
  },
);

serverTest("nonlocal_bind is noticed while the daemon runs", NETWORK_PROGRAMS, async () => {
  using folder = new TempFolder();
  const config = folder.write("hacheck.yaml", CONFIG);
  await using daemon = await Daemon.start({
    wrapper: inNetwork(false),
    args: ["-c", config],
    grants: [`--allow-read=${config}`],
  });
  await using service = await NetworkService.start(daemon, "::");
  assertEquals(await statuses(daemon, service, ["10.9.8.7", "fd00::7"]), {
    "10.9.8.7": 200,
    "fd00::7": 200,
  });
  for (const version of ["4", "6"]) {
    const switchOn = `echo 1 >/proc/sys/net/ipv${version}/ip_nonlocal_bind`;
    assertEquals(await runInNetwork(daemon, "sh", "-c", switchOn), {
      code: 0,
      stdout: "",
      stderr: "",
    });
  }
  assertEquals(await statuses(daemon, service, ["10.9.8.8", "fd00::8"]), {
    "10.9.8.8": 403,
    "fd00::8": 403,
  });
  for (const version of ["ipv4", "ipv6"]) {
    await daemon.logged(new RegExp(`WARNING net\\.${version}\\.ip_nonlocal_bind is on \\(`));
  }
});

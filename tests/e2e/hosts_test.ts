import { assert, assertEquals } from "../support/assert.ts";
import {
  getAllInNetwork,
  getInNetwork,
  IN_NETWORK_NAMESPACE,
  NETWORK_PROGRAMS,
  NetworkService,
  runInNetwork,
} from "../support/network.ts";
import { Daemon, hactlCommand, retryHactl } from "../support/programs.ts";
import { serverTest, until } from "../servers/mod.ts";

/** Spellings of addresses of this host, which all count as 127.0.0.1. */
const LOCAL = ["127.0.0.1", "10.9.8.7", "fd00::7", "FD00:0:0::0007"];

/** Addresses of other hosts, and other loopback addresses. */
const OTHERS = ["127.0.0.2", "::1", "10.9.8.8", "fd00::8", "224.0.0.1", "255.255.255.255"];

/** The ways to name an address in headers. */
const WAYS: readonly ((address: string, port: number) => Record<string, string>)[] = [
  (address) => ({ "X-Nerve-Check-IP": address }),
  (address, port) => ({
    "X-Haproxy-Server-State": `UP; address=${address}; port=${port}; name=web/a; node=lb1`,
  }),
  (address, port) => ({
    "X-Haproxy-Server-State": `UP; address=${address}; port=${port}`,
    "X-Nerve-Check-IP": "10.9.8.8",
  }),
];

/** Addresses that are never allowed. */
const UNUSABLE = ["224.0.0.1", "255.255.255.255"];

/** Starts a daemon in its own network namespace. */
function start(): Promise<Daemon> {
  return Daemon.start({
    wrapper: IN_NETWORK_NAMESPACE,
    config: "cache_time: 60\ncheck_hosts: [0.0.0.0/0, '::/0']\n",
  });
}

serverTest(
  "a check of an address of this host connects to 127.0.0.1, and of another address to that",
  NETWORK_PROGRAMS,
  async () => {
    await using daemon = await start();
    await using service = await NetworkService.start(daemon);
    for (const way of WAYS) {
      const path = `/tcp/web/${service.port}`;
      const addresses = [...LOCAL, ...OTHERS];
      const responses = await getAllInNetwork(
        daemon,
        addresses.map((address) => ({ path, headers: way(address, service.port) })),
      );
      for (const [i, address] of addresses.entries()) {
        const { status } = responses[i]!;
        const expected = LOCAL.includes(address) ? 200 : UNUSABLE.includes(address) ? 403 : 503;
        assertEquals([address, status], [address, expected]);
      }
    }
  },
);

serverTest(
  "all addresses of this host share one result in the cache",
  NETWORK_PROGRAMS,
  async () => {
    await using daemon = await start();
    await using service = await NetworkService.start(daemon);
    for (const way of WAYS) {
      for (const address of LOCAL) {
        const path = `/http/web/${service.port}`;
        const response = await getInNetwork(daemon, path, way(address, service.port));
        assertEquals(response, { status: 200, body: "1" });
      }
    }
  },
);

/** Records, and the addresses whose port 8080 they take down. */
const RECORDS: readonly [name: string, addresses: readonly string[]][] = [
  ["web", [...LOCAL, ...OTHERS]],
  ["web:8080", [...LOCAL, ...OTHERS]],
  ["web:10.9.8.7:8080", LOCAL],
  ["web:fd00::7:8080", LOCAL],
  ["web:FD00:0::7:8080", LOCAL],
  ["web:127.0.0.2:8080", ["127.0.0.2"]],
  ["web:::1:8080", ["::1"]],
  ["web:10.9.8.8:8080", ["10.9.8.8"]],
  ["web:fd00::8:8080", ["fd00::8"]],
  ["web:10.9.8.7:8081", []],
];

for (const [name, addresses] of RECORDS) {
  serverTest(`the record ${name} takes down exactly its addresses`, NETWORK_PROGRAMS, async () => {
    await using daemon = await start();
    daemon.writeRecord(name, "maint");
    await until("the record is known", async () => {
      return JSON.parse((await getInNetwork(daemon, "/status")).body).spool.records === 1;
    });
    for (const way of WAYS) {
      const all = [...LOCAL, ...OTHERS];
      const responses = await getAllInNetwork(
        daemon,
        all.map((address) => ({ path: "/spool/web/8080", headers: way(address, 8080) })),
      );
      for (const [i, address] of all.entries()) {
        assertEquals(
          { address, ...responses[i]! },
          addresses.includes(address)
            ? { address, status: 503, body: "Service web in down state: maint" }
            : { address, status: 200, body: "" },
        );
      }
    }
  });
}

for (const host of ["10.9.8.7", "fd00::7", "127.0.0.1", "10.9.8.8", "127.0.0.2", "::1"]) {
  serverTest(
    `hactl down -P 8080 -H ${host} takes down exactly the addresses of that host`,
    NETWORK_PROGRAMS,
    async () => {
      await using daemon = await start();
      const down = ["127.0.0.1"].includes(host)
        ? [...LOCAL, ...OTHERS] // A record without a host is for all hosts.
        : LOCAL.includes(host)
        ? LOCAL
        : [host];
      for (const [command, status] of [["down", 503], ["up", 200]] as const) {
        assertEquals(
          await retryHactl(() =>
            runInNetwork(
              daemon,
              ...hactlCommand(daemon.spool, [
                ...[command, "web", "-P", "8080", "-H", host, "-r", "maint"],
                ...["-p", String(daemon.port)],
              ]),
            )
          ),
          { code: 0, stdout: "", stderr: "" },
        );
        const all = [...LOCAL, ...OTHERS];
        const responses = await getAllInNetwork(
          daemon,
          all.map((address) => ({
            path: "/spool/web/8080",
            headers: { "X-Nerve-Check-IP": address },
          })),
        );
        for (const [i, address] of all.entries()) {
          const expected = down.includes(address) ? status : 200;
          assertEquals([command, address, responses[i]!.status], [command, address, expected]);
        }
      }
      assert(!(await daemon.stop()).includes("ERROR"), daemon.log);
    },
  );
}

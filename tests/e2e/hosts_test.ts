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

/** Spellings of addresses of this machine, which all count as 127.0.0.1. */
const OWN = ["127.0.0.1", "10.9.8.7", "fd00::7", "FD00:0:0::0007"];

/** Addresses that stay what they are. */
const OTHERS = ["127.0.0.2", "::1", "10.9.8.8", "fd00::8", "224.0.0.1", "255.255.255.255"];

/** How a balancer tells which address it means. */
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

/** Those of them that nobody may check, whatever is listed. */
const NOBODYS = ["224.0.0.1", "255.255.255.255"];

/** Starts a daemon in a network of its own. */
function start(): Promise<Daemon> {
  return Daemon.start({
    wrapper: IN_NETWORK_NAMESPACE,
    config: "cache_time: 60\ncheck_hosts: [0.0.0.0/0, '::/0']\n",
  });
}

serverTest(
  "a check of an own address goes to 127.0.0.1, one of another where it says",
  NETWORK_PROGRAMS,
  async () => {
    await using daemon = await start();
    await using service = await NetworkService.start(daemon);
    for (const way of WAYS) {
      const path = `/tcp/web/${service.port}`;
      const addresses = [...OWN, ...OTHERS];
      const responses = await getAllInNetwork(
        daemon,
        addresses.map((address) => ({ path, headers: way(address, service.port) })),
      );
      for (const [i, address] of addresses.entries()) {
        const { status } = responses[i]!;
        const expected = OWN.includes(address) ? 200 : NOBODYS.includes(address) ? 403 : 503;
        assertEquals([address, status], [address, expected]);
      }
    }
  },
);

serverTest("all own addresses share one result in the cache", NETWORK_PROGRAMS, async () => {
  await using daemon = await start();
  await using service = await NetworkService.start(daemon);
  for (const way of WAYS) {
    for (const address of OWN) {
      const path = `/http/web/${service.port}`;
      const answer = await getInNetwork(daemon, path, way(address, service.port));
      assertEquals(answer, { status: 200, body: "1" });
    }
  }
});

/** Records, and the addresses for which they keep port 8080 down. */
const RECORDS: readonly [name: string, addresses: readonly string[]][] = [
  ["web", [...OWN, ...OTHERS]],
  ["web:8080", [...OWN, ...OTHERS]],
  ["web:10.9.8.7:8080", OWN],
  ["web:fd00::7:8080", OWN],
  ["web:FD00:0::7:8080", OWN],
  ["web:127.0.0.2:8080", ["127.0.0.2"]],
  ["web:::1:8080", ["::1"]],
  ["web:10.9.8.8:8080", ["10.9.8.8"]],
  ["web:fd00::8:8080", ["fd00::8"]],
  ["web:10.9.8.7:8081", []],
];

for (const [name, addresses] of RECORDS) {
  serverTest(`the record ${name} keeps down who it should`, NETWORK_PROGRAMS, async () => {
    await using daemon = await start();
    daemon.writeRecord(name, "maint");
    await until("it is known", async () => {
      return JSON.parse((await getInNetwork(daemon, "/status")).body).spool.records === 1;
    });
    for (const way of WAYS) {
      const all = [...OWN, ...OTHERS];
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
    `hactl marks port 8080 of ${host} alone, and all of its names`,
    NETWORK_PROGRAMS,
    async () => {
      await using daemon = await start();
      const marked = ["127.0.0.1"].includes(host)
        ? [...OWN, ...OTHERS] // Without a host, it is the port whatever the host.
        : OWN.includes(host)
        ? OWN
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
        const all = [...OWN, ...OTHERS];
        const responses = await getAllInNetwork(
          daemon,
          all.map((address) => ({
            path: "/spool/web/8080",
            headers: { "X-Nerve-Check-IP": address },
          })),
        );
        for (const [i, address] of all.entries()) {
          const expected = marked.includes(address) ? status : 200;
          assertEquals([command, address, responses[i]!.status], [command, address, expected]);
        }
      }
      assert(!daemon.log.includes("ERROR"), daemon.log);
    },
  );
}

import { assert, assertEquals } from "../support/assert.ts";
import { Daemon, WORKER_GRANTS } from "../support/programs.ts";

/** An address of this host beside the loopback ones; undefined if it has none. */
function ownAddress(): string | undefined {
  return Deno.networkInterfaces().find(({ family, address }) =>
    family === "IPv4" && !address.startsWith("127.")
  )?.address;
}

for (const workers of [1, 3]) {
  Deno.test(`with -n ${workers}, the daemon rejects checks of its own ports, whatever their address is`, async () => {
    await using daemon = await Daemon.start({
      args: ["-n", String(workers), "-p", "0", "-p", "0", "-A", "0"],
      grants: WORKER_GRANTS,
    });
    const [, agents] = await daemon.logged(
      /agent checks are answered on 127\.0\.0\.1 port (\d+)\n/,
    );
    const ports = [...daemon.log.matchAll(/hacheck \S+ listens on 127\.0\.0\.1 port (\d+)\n/g)]
      .map(([, port]) => Number(port));
    assertEquals(new Set(ports).size, 2);
    const own = ownAddress();
    const addresses = ["127.0.0.1", "127.9.8.7", "::1", ...own === undefined ? [] : [own]];
    for (const port of [...ports, Number(agents)]) {
      const nested = `/http/x/${port}/http/x/${port}/http/x/${port}/events`;
      const requests: [path: string, headers?: Record<string, string>][] = [
        [nested],
        [`/tcp/x/${port}`],
        [nested, { "pragma": "no-cache" }],
        ...addresses.flatMap((address): [string, Record<string, string>][] => [
          [`/http/x/${port}/events`, { "x-nerve-check-ip": address }],
          [
            "/http/x/0/events",
            { "x-haproxy-server-state": `UP; address=${address}; port=${port}; name=web/a` },
          ],
          ["/redis/x/1", { "x-haproxy-server-state": `UP; port=${port}; address=${address}` }],
        ]),
      ];
      for (const [path, headers] of requests) {
        // Often enough that each worker gets a request.
        const responses = Array.from({ length: 3 * workers }, () => daemon.get(path, headers));
        for (const response of await Promise.all(responses)) {
          assertEquals(response, {
            status: 403,
            body: `Not allowed to check port ${port} of this machine: hacheck itself listens on it`,
          }, `${path} ${JSON.stringify(headers)}`);
        }
      }
      // A check of the spool connects to nothing.
      assertEquals((await daemon.get(`/spool/x/${port}`)).status, 200);
    }
    const { refused } = JSON.parse((await daemon.get("/status")).body);
    assert(refused.targets > 0);
  });
}

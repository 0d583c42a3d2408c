import { newCounters } from "../../src/metrics/counters.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { runInNetwork } from "../support/network.ts";
import { Daemon, WORKER_GRANTS } from "../support/programs.ts";
import { sendRaw } from "../support/raw_http.ts";
import {
  SECOND_HOST_ADDRESSES,
  SECOND_HOST_PORT,
  SECOND_HOST_PROGRAMS,
  SecondHost,
} from "../servers/second_host.ts";
import { serverTest, until } from "../servers/mod.ts";
import { INVALID_ADDRESSES } from "../support/invalid_addresses.ts";

const { plain, metadata } = SECOND_HOST_ADDRESSES;

/** The ways to name an address, as header lines. */
const WAYS: readonly ((address: string) => string[])[] = [
  (address) => [`X-Nerve-Check-IP: ${address}`],
  (address) => [`X-Haproxy-Server-State: UP 1/3; address=${address}; port=${SECOND_HOST_PORT}`],
  (address) => [`x-haproxy-server-state:address=${address}`, "X-Nerve-Check-IP: 127.0.0.1"],
  (address) => [`X-Nerve-Check-IP: ${address}`, "X-Nerve-Check-IP: 127.0.0.1"],
  (address) => ["X-Nerve-Check-IP: 127.0.0.1", `X-Nerve-Check-IP: ${address}`],
];

/** Some protocols that connect. */
const CONNECTING = ["http", "https", "tcp", "smtp", "redis", "sentinel-info", "haproxy", "grpc"];

/** Requests checks from a daemon in its network namespace, and returns the statuses. */
async function statusesOf(
  daemon: Daemon,
  requests: readonly { path: string; headers: readonly string[] }[],
): Promise<string[]> {
  const args = requests.flatMap(({ path, headers }, i) => [
    ...i === 0 ? [] : ["--next"],
    ...["--silent", "--show-error", "--max-time", "30", "--output", "/dev/null"],
    ...["--write-out", "%{http_code}\n"],
    ...headers.flatMap((header) => ["--header", header]),
    `http://127.0.0.1:${daemon.port}${path}`,
  ]);
  const { code, stdout, stderr } = await runInNetwork(daemon, "curl", ...args);
  assertEquals([code, stderr], [0, ""]);
  return stdout.trim().split("\n");
}

/** Makes requests that name each address in every way. */
function requestsFor(addresses: readonly string[], protocols: readonly string[]) {
  return addresses.flatMap((address) =>
    WAYS.flatMap((way) =>
      protocols.map((protocol) => ({
        address,
        path: `/${protocol}/web/${SECOND_HOST_PORT}`,
        headers: way(address),
      }))
    )
  );
}

serverTest(
  "a daemon without check_hosts connects to no other host",
  SECOND_HOST_PROGRAMS,
  async () => {
    await using secondHost = await SecondHost.start();
    await using daemon = await Daemon.start({ wrapper: secondHost.firstHost });
    for (const address of [...plain, ...metadata]) {
      const host = address.includes(":") ? `[${address}]` : address;
      const url = `http://${host}:${SECOND_HOST_PORT}/`;
      const { stdout } = await runInNetwork(daemon, "curl", "-gsS", "--max-time", "20", url);
      assertEquals(stdout, "second host", `${address} can be reached`);
    }
    const requestsBefore = secondHost.requests;
    const attacks = [
      ...requestsFor([...plain, ...metadata], CONNECTING),
      ...requestsFor(INVALID_ADDRESSES, ["http"]),
    ];
    const statuses = await statusesOf(daemon, attacks);
    attacks.forEach(({ headers }, i) => assertEquals([headers, statuses[i]], [headers, "403"]));
    assertEquals(secondHost.requests, requestsBefore);
    await daemon.logged(/WARNING refused/);
    assertEquals((await daemon.stop()).split("WARNING refused").length - 1, 1, daemon.log);
  },
);

serverTest(
  "a daemon connects to the hosts in check_hosts and to no others",
  SECOND_HOST_PROGRAMS,
  async () => {
    const cases: [lists: string, allowed: readonly string[]][] = [
      ["[10.1.1.2]", ["10.1.1.2"]],
      ["[10.0.0.0/8, 'fd00:9::/64']", plain],
      ["[0.0.0.0/0, '::/0']", plain],
      ["[0.0.0.0/0, 169.254.169.254]", ["10.1.1.2", "169.254.169.254"]],
      ["[169.254.0.0/16, 'fd00:ec2::/32']", ["169.254.169.254", "fd00:ec2::254"]],
      ["[168.63.129.16, 100.100.100.200]", ["168.63.129.16", "100.100.100.200"]],
    ];
    for (const [lists, allowed] of cases) {
      await using secondHost = await SecondHost.start();
      await using daemon = await Daemon.start({
        wrapper: secondHost.firstHost,
        config: `check_hosts: ${lists}\n`,
      });
      const requests = [...plain, ...metadata].map((address) => ({
        address,
        path: `/http/web/${SECOND_HOST_PORT}`,
        headers: [`X-Nerve-Check-IP: ${address}`],
      }));
      const statuses = await statusesOf(daemon, requests);
      requests.forEach(({ address }, i) => {
        const expected = allowed.includes(address) ? "200" : "403";
        assertEquals([lists, address, statuses[i]], [lists, address, expected]);
      });
      assertEquals(secondHost.requests, allowed.length, lists);
    }
  },
);

Deno.test("a check of an invalid address is rejected, with the address and the key to set", async () => {
  await using daemon = await Daemon.start({ config: "check_hosts: [0.0.0.0/0, '::/0']\n" });
  let count = 0;
  for (const spelling of INVALID_ADDRESSES) {
    for (const header of ["X-Nerve-Check-IP: ", "X-Haproxy-Server-State: UP; port=1; address="]) {
      const { status, body } = await sendRaw(
        daemon.port,
        `GET /tcp/web/1 HTTP/1.1\r\nHost: x\r\n${header}${spelling}\r\nConnection: close\r\n\r\n`,
      );
      assertEquals(
        [status, body],
        [
          403,
          `Not allowed to check ${
            JSON.stringify(spelling)
          }: check_hosts takes IPv4 and IPv6 addresses`,
        ].map((part) => typeof part === "string" ? utf8(part) : part),
        spelling,
      );
      count++;
    }
  }
  const { refused } = JSON.parse((await daemon.get("/status")).body);
  assertEquals(refused, { ...newCounters().refused, targets: count });
});

/** The bytes of a text, each as a character. */
function utf8(text: string): string {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

Deno.test("a header with characters that HTTP does not allow causes no check", async () => {
  using service = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  await using daemon = await Daemon.start();
  for (const odd of ["127.0.0.1\0", "127.0.0.1\x0b", "\x01", "127.0.0.1\x7f", "a\rb"]) {
    for (const header of ["X-Nerve-Check-IP: ", "X-Haproxy-Server-State: UP; address="]) {
      const { status } = await sendRaw(
        daemon.port,
        `GET /tcp/web/${service.addr.port} HTTP/1.1\r\nHost: x\r\n${header}${odd}\r\nConnection: close\r\n\r\n`,
      );
      assert(status === 400 || status === 403, `${JSON.stringify(odd)}: ${status}`);
    }
  }
  // A very long header.
  const { status } = await sendRaw(
    daemon.port,
    `GET /tcp/web/1 HTTP/1.0\r\nX-Nerve-Check-IP: ${"1".repeat(30_000)}\r\n\r\n`,
  );
  assertEquals(status, 403);
});

Deno.test("an address that is not listed is rejected by checks that connect, and accepted by the spool", async () => {
  await using daemon = await Daemon.start({ args: ["-n", "2"], grants: WORKER_GRANTS });
  daemon.writeRecord("web:198.51.100.7:8080", "maint");
  const headers = { "X-Nerve-Check-IP": "198.51.100.7" };
  const down = { status: 503, body: "Service web in down state: maint" };
  await until("the record is known", async () => {
    const { status, body } = await daemon.get("/status/services/web/8080", headers);
    return status === 200 && JSON.parse(body).kept_out_by?.name === "web:198.51.100.7:8080";
  });
  assertEquals(await daemon.get("/spool/web/8080", headers), down);
  const times = 20;
  for (let i = 0; i < times; i++) {
    assertEquals(await daemon.get("/http/web/8080", headers), {
      status: 403,
      body: "Not allowed to check 198.51.100.7: check_hosts does not list it",
    });
  }
  const { refused } = JSON.parse((await daemon.get("/status")).body);
  assertEquals(refused, { ...newCounters().refused, targets: times });
});

Deno.test("check_ports limits the ports, on this host too", async () => {
  using other = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = other.addr as Deno.NetAddr;
  await using service = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => new Response("fine"),
  );
  const listed = service.addr.port;
  await using daemon = await Daemon.start({ config: `check_ports: [${listed}, 1-9]\n` });
  assertEquals(await daemon.get(`/http/web/${listed}`), { status: 200, body: "fine" });
  assertEquals(await daemon.get(`/http/web/${port}`), {
    status: 403,
    body: `Not allowed to check port ${port}: check_ports does not list it`,
  });
  const headers = { "X-Haproxy-Server-State": `UP; address=127.0.0.1; port=${port}` };
  assertEquals((await daemon.get(`/tcp/web/${listed}`, headers)).status, 403);
  assertEquals((await daemon.get(`/spool/web/${port}`)).status, 200);
});

import { gzipSync } from "node:zlib";
import { assert, assertEquals } from "../support/assert.ts";
import { Daemon, hactlCommand, run, TempFolder } from "../support/programs.ts";
import {
  afterRequest,
  type Behaviour,
  closing,
  FaultyServer,
  flooding,
  sending,
} from "../servers/faulty.ts";

/** How much memory two checks of a hostile service may take, in MiB. */
const MAX_MIB = 50;

const CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const COLUMNS = "# pxname,svname,status,\n";

/** Encodes a body in chunks of one byte. */
function tinyChunks(body: string): string {
  return Array.from(body, (character) => `1\r\n${character}\r\n`).join("");
}

/** Returns a reply of Redis with half a million fields. */
function manyFields(): string {
  const fields = Array.from({ length: 500_000 }, (_, i) => `${i.toString(36)}:\n`).join("");
  return `$${fields.length}\r\n${fields}\r\n`;
}

/** 100 MB of zeros in 100 KB. */
const COMPRESSED_ZEROS = gzipSync(new Uint8Array(100_000_000));

/** Endless responses, or as much as hacheck reads. */
const services: readonly { path: string; name: string; behaviour: Behaviour }[] = [
  {
    path: "haproxy",
    name: "one-byte chunks",
    behaviour: afterRequest(
      sending(CHUNKED + tinyChunks(COLUMNS), flooding(tinyChunks("web,a,UP,,\n"))),
    ),
  },
  {
    path: "haproxy",
    name: "chunks of 100 bytes",
    behaviour: afterRequest(sending(
      CHUNKED,
      flooding(`64\r\n${"x".repeat(99)}\n\r\n`),
    )),
  },
  {
    path: "haproxy",
    name: "the shortest rows",
    behaviour: afterRequest(sending(`HTTP/1.1 200 OK\r\n\r\n${COLUMNS}`, flooding(",,,\n"))),
  },
  {
    path: "http",
    name: "one-byte chunks",
    behaviour: afterRequest(sending(CHUNKED, flooding("1\r\nx\r\n"))),
  },
  {
    path: "http",
    name: "chunk extensions",
    behaviour: afterRequest(sending(CHUNKED, flooding(`1;${"x".repeat(60_000)}\r\nx\r\n`))),
  },
  {
    path: "http",
    name: "100 MB of zeros, compressed",
    behaviour: afterRequest(
      sending(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n",
        sending(COMPRESSED_ZEROS, closing),
      ),
    ),
  },
  {
    path: "http",
    name: "interim responses",
    behaviour: afterRequest(flooding("HTTP/1.1 100 Continue\r\n\r\n")),
  },
  {
    path: "http",
    name: "headers",
    behaviour: afterRequest(sending("HTTP/1.1 200 OK\r\n", flooding("a:\n"))),
  },
  { path: "redis", name: "one line", behaviour: flooding("+") },
  { path: "redis-info", name: "the shortest fields", behaviour: sending(manyFields()) },
  { path: "smtp", name: "lines", behaviour: flooding("220-\r\n") },
  { path: "smtp", name: "one line", behaviour: flooding("2") },
  {
    path: "mysql",
    name: "packets",
    behaviour: flooding(`\xfe\xff\0\0\x0a${"x".repeat(0xfffd)}`),
  },
  {
    path: "postgres",
    name: "notices",
    behaviour: flooding(`N\0\0\x40\x04${"Sx\0".repeat(0x1555)}\0`),
  },
  {
    path: "grpc",
    name: "empty frames",
    // Settings, then empty data for the first stream.
    behaviour: sending("\0\0\0\x04\0\0\0\0\0", flooding("\0\0\0\0\0\0\0\0\x01")),
  },
  {
    path: "grpc",
    name: "settings",
    behaviour: flooding("\0\0\0\x04\0\0\0\0\0"),
  },
];

/** Returns the peak memory of a process, in MiB. */
async function peakOf({ pid }: { readonly pid: number }): Promise<number> {
  // Deno lets a program read this file only with all permissions.
  const { stdout } = await run("cat", [`/proc/${pid}/status`]);
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(stdout)?.[1]) / 1024;
}

const CONFIG = `
healthcheck_timeout: 5
mysql_username: hacheck
mysql_password: secret
postgres_username: hacheck
`;

for (const { path, name, behaviour } of services) {
  Deno.test(`${path} checks take less than ${MAX_MIB} MiB for a service that sends ${name}`, async () => {
    await using daemon = await Daemon.start({ config: CONFIG });
    await using service = await FaultyServer.start(behaviour);
    await using honest = await FaultyServer.start(
      afterRequest(sending("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")),
    );
    await daemon.get("/status");
    // Loads the modules of the check.
    await daemon.get(`/${path}/web/1/`);
    const before = await peakOf(daemon);
    const checks = [0, 1].map(() =>
      daemon.get(`/${path}/web/${service.port}/`, { pragma: "no-cache" })
    );
    assertEquals(await daemon.get(`/http/good/${honest.port}/`), { status: 200, body: "hi" });
    const responses = await Promise.all(checks);
    const taken = await peakOf(daemon) - before;
    const shown = JSON.stringify(responses.map(({ status, body }) => [status, body.slice(0, 80)]));
    assert(taken < MAX_MIB, `${taken} MiB, ${shown}`);
  });
}

/** Responses of another daemon to hactl. */
const daemons: readonly { name: string; behaviour: Behaviour }[] = [
  { name: "one-byte chunks", behaviour: afterRequest(sending(CHUNKED, flooding("1\r\nx\r\n"))) },
  {
    name: "an endless body",
    behaviour: afterRequest(sending(CHUNKED, flooding(`4000\r\n${"x".repeat(0x4000)}\r\n`))),
  },
  { name: "interim responses", behaviour: afterRequest(flooding("HTTP/1.1 100 Continue\r\n\r\n")) },
];

/** Returns the peak memory of a hactl that requests the status of another daemon, in MiB, and its exit code. */
async function hactlPeak(port: number): Promise<{ peak: number; code: number }> {
  using folder = new TempFolder();
  const args = ["status", "web", "--daemon", `http://127.0.0.1:${port}`];
  const [command, ...rest] = hactlCommand(folder.path, args);
  const process = new Deno.Command(command!, {
    args: rest.filter((word) => word !== "--spool-root" && word !== folder.path),
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  let hasEnded = false;
  const ended = process.status.finally(() => hasEnded = true);
  let peak = 0;
  while (!hasEnded) {
    peak = Math.max(peak, await peakOf(process) || 0);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return { peak, code: (await ended).code };
}

for (const { name, behaviour } of daemons) {
  Deno.test(`hactl takes less than ${MAX_MIB} MiB more for a daemon that sends ${name}`, async () => {
    await using refusing = await FaultyServer.start(
      afterRequest(sending("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")),
    );
    await using hostile = await FaultyServer.start(behaviour);
    const { peak: baseline } = await hactlPeak(refusing.port);
    const { peak, code } = await hactlPeak(hostile.port);
    assert(code !== 0 && peak > 10, `exit ${code}, ${peak} MiB`);
    assert(peak - baseline < MAX_MIB, `${peak} MiB instead of ${baseline}`);
  });
}

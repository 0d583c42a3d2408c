/**
 * Sends one check after another to the daemon on a port until its stdin ends, and prints how long the slowest
 * response took, in milliseconds. A process of its own has no other work that delays it.
 *
 * @module
 */

const port = Number(Deno.args[0]);
const request = new TextEncoder().encode("GET /spool/web/0 HTTP/1.0\r\n\r\n");
const buffer = new Uint8Array(1024);
let isOver = false;
Deno.stdin.read(new Uint8Array(1)).then(() => isOver = true);

let worst = 0;
while (!isOver) {
  const startedAt = performance.now();
  {
    using connection = await Deno.connect({ hostname: "127.0.0.1", port });
    await connection.write(request);
    const length = await connection.read(buffer);
    const status = new TextDecoder().decode(buffer.subarray(0, length ?? 0)).slice(9, 12);
    if (status !== "200") throw new Error(`expected status 200, found ${status}`);
  }
  worst = Math.max(worst, performance.now() - startedAt);
  await new Promise((resolve) => setTimeout(resolve, 2));
}
console.log(worst);

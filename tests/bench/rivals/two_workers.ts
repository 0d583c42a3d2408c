// Two workers on one port, without any work.
for (let i = 0; i < 2; i++) {
  new Worker(new URL("./one_worker.ts", import.meta.url), { type: "module", name: Deno.args[0]! });
}

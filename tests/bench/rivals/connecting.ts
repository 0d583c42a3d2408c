// The simplest implementation: each request connects to the service.
const [port, service] = Deno.args;
Deno.serve({ hostname: "127.0.0.1", port: Number(port), onListen() {} }, async () => {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(service) });
  connection.close();
  return new Response("connected");
});

// The simplest implementation: each request fetches from the service on a new connection.
const [port, service] = Deno.args;
const client = Deno.createHttpClient({ poolMaxIdlePerHost: 0, allowHost: true });
Deno.serve({ hostname: "127.0.0.1", port: Number(port), onListen() {} }, async () => {
  const response = await fetch(`http://127.0.0.1:${service}/`, { client });
  return new Response(await response.text(), { status: response.status });
});

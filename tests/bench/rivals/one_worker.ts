// One of several workers on one port. Its name is the port.
Deno.serve(
  { hostname: "127.0.0.1", port: Number(self.name), reusePort: true, onListen() {} },
  () => new Response("fine"),
);

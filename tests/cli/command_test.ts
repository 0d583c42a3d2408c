import { explained, shown } from "../../cli/command.ts";
import { assertEquals } from "../support/assert.ts";

Deno.test("what others say does not reach the terminal with its control characters", () => {
  assertEquals(shown(500, "a\x1b[31mb\r\nc"), "500 a [31mb c");
  assertEquals(shown(403, ""), "403");
  assertEquals(shown(500, "x".repeat(1000)).length, 200);
  // The names in a certificate, for one.
  const certificate = new Error("the certificate is not for web1, but for DNS:\x1b]0;owned\x07\n");
  assertEquals(
    explained(certificate),
    "the certificate is not for web1, but for DNS: ]0;owned ",
  );
});

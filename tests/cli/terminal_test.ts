import { describeResponse, errorMessage } from "../../cli/terminal.ts";
import { assertEquals } from "../support/assert.ts";

Deno.test("describeResponse() strips control characters and shortens the body", () => {
  assertEquals(describeResponse(500, "a\x1b[31mb\r\nc"), "500 a [31mb c");
  assertEquals(describeResponse(403, ""), "403");
  assertEquals(describeResponse(500, "x".repeat(1000)).length, 200);
});

Deno.test("errorMessage() strips control characters", () => {
  // A message may quote the names in a daemon's certificate.
  const certificate = new Error("the certificate is not for web1, but for DNS:\x1b]0;owned\x07\n");
  assertEquals(
    errorMessage(certificate),
    "the certificate is not for web1, but for DNS: ]0;owned ",
  );
});

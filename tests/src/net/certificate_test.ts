import { certificateExpiry } from "../../../src/net/certificate.ts";
import { assertEquals } from "../../support/assert.ts";
import { run, TempFolder } from "../../support/programs.ts";
import { Authority, CERTIFICATE_PROGRAMS } from "../../servers/certificates.ts";
import { serverTest } from "../../servers/mod.ts";

/** Returns when a certificate expires by OpenSSL. */
async function expiryByOpenssl(path: string): Promise<number> {
  const { stdout } = await run("openssl", ["x509", "-noout", "-enddate", "-in", path]);
  return Date.parse(stdout.trim().replace("notAfter=", ""));
}

serverTest(
  "certificateExpiry() returns when the first certificate of a chain expires",
  CERTIFICATE_PROGRAMS,
  async () => {
    using folder = new TempFolder();
    const authority = await Authority.create(folder, "authority");
    // From 2050 on, certificates have years of four digits.
    for (const until of [-0.5, 1, 300, 40 * 365]) {
      const { certificate } = await authority.issue(`days${until}`, { for: "DNS:web", until });
      const pem = Deno.readTextFileSync(certificate);
      assertEquals(certificateExpiry(pem), await expiryByOpenssl(certificate));
      assertEquals(
        certificateExpiry(pem + Deno.readTextFileSync(authority.certificate)),
        Math.min(await expiryByOpenssl(certificate), await expiryByOpenssl(authority.certificate)),
      );
    }
  },
);

Deno.test("certificateExpiry() returns null for an invalid certificate", () => {
  const block = (content: string) =>
    `-----BEGIN CERTIFICATE-----\n${content}\n-----END CERTIFICATE-----\n`;
  for (
    const content of [
      "",
      "MII",
      "MIIB",
      "!",
      btoa("0\x82\xff\xff0\x84\xff\xff\xff\xff"),
      btoa("\0"),
    ]
  ) {
    assertEquals(certificateExpiry(block(content)), null, content);
  }
  assertEquals(certificateExpiry("-----BEGIN PRIVATE KEY-----\n"), null);
});

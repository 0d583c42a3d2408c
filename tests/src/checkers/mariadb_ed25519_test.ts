import { createPrivateKey, randomBytes, sign } from "node:crypto";
import { signAsMariaDb } from "../../../src/checkers/_mariadb_ed25519.ts";
import { assertEquals } from "../../support/assert.ts";

/** The bytes before the seed in a PKCS #8 key of Ed25519. */
const PKCS8_PREFIX = "302e020100300506032b657004220420";

Deno.test("signAsMariaDb() returns the signature of Ed25519 for a password as long as a seed", () => {
  for (let turn = 0; turn < 20; turn++) {
    const seed = randomBytes(32);
    const message = randomBytes(turn === 0 ? 0 : 32);
    const key = createPrivateKey({
      key: Uint8Array.fromHex(PKCS8_PREFIX + seed.toHex()),
      format: "der",
      type: "pkcs8",
    } as never);
    assertEquals(signAsMariaDb(seed, message).toHex(), sign(null, message, key).toHex());
  }
});

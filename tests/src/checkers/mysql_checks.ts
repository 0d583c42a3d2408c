/**
 * A program that checks a MySQL server again and again, for tests that run it in a network of its own.
 * Arguments: host, port, how often, user, password. It prints each verdict, a JSON object a line.
 *
 * @module
 */

import { mysqlChecker } from "../../../src/checkers/mysql.ts";

const [host = "", port = "", times = "", username = "", password = ""] = Deno.args;
const check = mysqlChecker({ username, password });
const request = {
  protocol: "mysql",
  service: "db",
  host,
  port: Number(port),
  path: "/",
  headers: [],
};
for (let turn = 0; turn < Number(times); turn++) {
  const verdict = await check(request, AbortSignal.timeout(60_000));
  console.log(JSON.stringify(verdict));
}

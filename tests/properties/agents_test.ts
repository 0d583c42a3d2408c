import fc from "fast-check";
import { agentResponse } from "../../src/server/agent_response.ts";
import { SpoolIndex } from "../../src/spool/index.ts";
import { recordName, weightName } from "../../src/spool/names.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { holds, oddText, port, service } from "./property.ts";

const LOCAL_ADDRESS = "127.0.0.1";

/** All responses to an agent check. */
const RESPONSE = /^(?:ready up(?: (?:\d{1,2}|100)%)?|drain|maint|down(?: #.+)?)$/;

const down = fc.constantFrom("maint" as const, "down" as const);

const record = fc.record({
  mode: fc.constantFrom("down" as const, "drain" as const),
  reason: oddText("ready up 100%", "\n", "#", ","),
  expiration: fc.constant(null),
  creation: fc.constant(null),
});

const weight = fc.record({
  weight: fc.option(fc.integer({ min: 0, max: 100 }), { nil: null }),
  reason: fc.constant(""),
  expiration: fc.constant(null),
  creation: fc.constant(null),
});

Deno.test("agentResponse() returns one line of HAProxy's words for any text", () =>
  holds(
    fc.property(
      oddText("web", "/", "8080", "\r", "all"),
      fc.option(record, { nil: undefined }),
      down,
      (text, all, down) => {
        const spool = new SpoolIndex();
        if (all !== undefined) spool.set("all", all);
        const response = agentResponse(text, spool, down);
        assert(RESPONSE.test(response) && response.length < 2000, response);
        assert(!/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(response), response);
        // A downtime of all services must keep traffic away.
        if (all !== undefined) assert(!/^(?:ready|up)\b/.test(response), response);
      },
    ),
    10_000,
  ));

Deno.test("agentResponse() returns the mode of a downtime, and the weight without one", () =>
  holds(
    fc.property(
      service,
      fc.oneof(port, fc.constant(0)),
      fc.option(record, { nil: undefined }),
      fc.option(weight, { nil: undefined }),
      down,
      (service, port, downtime, weightRecord, down) => {
        const subject = { service, port, host: LOCAL_ADDRESS };
        const spool = new SpoolIndex();
        if (downtime !== undefined) spool.set(recordName(subject), downtime);
        if (weightRecord !== undefined) spool.set(weightName(subject), weightRecord);
        const response = agentResponse(`${service}/${port}`, spool, down);
        if (downtime?.mode === "drain") return assertEquals(response, "drain");
        if (downtime !== undefined) return assert(response.startsWith(down), response);
        const percent = weightRecord === undefined ? 100 : weightRecord.weight;
        assertEquals(response, percent === null ? "ready up" : `ready up ${percent}%`);
      },
    ),
    5000,
  ));

import fc from "fast-check";
import { agentResponse } from "../../src/server/agent_response.ts";
import { SpoolIndex } from "../../src/spool/index.ts";
import { recordName, weightName } from "../../src/spool/names.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { holds, oddText, port, service } from "./property.ts";

const LOCAL_ADDRESS = "127.0.0.1";

/** All that an agent may be told. */
const ANSWER = /^(?:ready up(?: (?:\d{1,2}|100)%)?|drain|maint|down(?: #.+)?)$/;

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

Deno.test("Whatever an agent asks, it is answered in one line of HAProxy's words", () =>
  holds(
    fc.property(
      oddText("web", "/", "8080", "\r", "all"),
      fc.option(record, { nil: undefined }),
      down,
      (question, all, down) => {
        const spool = new SpoolIndex();
        if (all !== undefined) spool.set("all", all);
        const told = agentResponse(question, spool, down);
        assert(ANSWER.test(told) && told.length < 2000, told);
        assert(!/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(told), told);
        // Nobody gets traffic while everything is marked, whatever the question.
        if (all !== undefined) assert(!/^(?:ready|up)\b/.test(told), told);
      },
    ),
    10_000,
  ));

Deno.test("What an agent is told of a service is what is marked, and the weight where nothing is", () =>
  holds(
    fc.property(
      service,
      fc.oneof(port, fc.constant(0)),
      fc.option(record, { nil: undefined }),
      fc.option(weight, { nil: undefined }),
      down,
      (service, port, marked, weighed, down) => {
        const subject = { service, port, host: LOCAL_ADDRESS };
        const spool = new SpoolIndex();
        if (marked !== undefined) spool.set(recordName(subject), marked);
        if (weighed !== undefined) spool.set(weightName(subject), weighed);
        const told = agentResponse(`${service}/${port}`, spool, down);
        if (marked?.mode === "drain") return assertEquals(told, "drain");
        if (marked !== undefined) return assert(told.startsWith(down), told);
        const percent = weighed === undefined ? 100 : weighed.weight;
        assertEquals(told, percent === null ? "ready up" : `ready up ${percent}%`);
      },
    ),
    5000,
  ));

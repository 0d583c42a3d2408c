import { recordName, type Subject, weightName } from "../../src/spool/names.ts";
import { isExpired } from "../../src/spool/entry.ts";
import type { SpoolStore } from "../../src/spool/store.ts";
import type { CommandContext } from "../command.ts";
import { errorMessage, printJson, warn } from "../terminal.ts";
import {
  describeRecord,
  downFields,
  findWiderRecord,
  oldStatusLine,
  type ServiceStatus,
  statusLine,
  upFields,
} from "../report/service_status.ts";

/**
 * Prints the state of the services that are named, by the spool of this host.
 *
 * @param context The services.
 * @returns The exit status: 0 if all are up, else 1; and what was printed.
 */
export async function printNamed(
  context: CommandContext,
): Promise<{ code: number; services: readonly ServiceStatus[] }> {
  const { store, json, byOldName, typedHost } = context;
  const subjects = byOldName ? await oneOfEach(context) : context.subjects;
  let code = 0;
  const services: ServiceStatus[] = [];
  for (const subject of subjects) {
    let status;
    try {
      status = await statusOf(subject, store, json);
    } catch (error) {
      warn(`cannot read the record of ${recordName(subject)}: ${errorMessage(error)}`);
      code = 1;
      continue;
    }
    services.push(status);
    if (!json) console.log(byOldName ? oldStatusLine(status, typedHost) : statusLine(status));
    if (status.state !== "up") code = 1;
    // The line is about the service's own record alone: an operator wants to know of a wider one too.
    if (status.kept_out_by !== null && !json) {
      warn(`${status.service} is still out of service: ${describeRecord(status.kept_out_by)}`);
    }
  }
  if (json) printJson({ services });
  return { code, services };
}

/**
 * Chooses one address of a host's name for each service, as the older tools print one line for a host: the
 * first address whose service is not up, else the first one.
 */
async function oneOfEach({ subjects, store }: CommandContext): Promise<Subject[]> {
  if (new Set(subjects.map(({ host }) => host)).size <= 1) return [...subjects];
  const chosen = [];
  for (const service of new Set(subjects.map(({ service }) => service))) {
    const all = subjects.filter((subject) => subject.service === service);
    let found = all[0]!;
    for (const subject of all.toReversed()) {
      if ((await statusOf(subject, store, false)).state !== "up") found = subject;
    }
    chosen.push(found);
  }
  return chosen;
}

/** Reads the files of one service only, not the whole spool. */
async function statusOf(
  subject: Subject,
  store: SpoolStore,
  withWeight: boolean,
): Promise<ServiceStatus> {
  const name = recordName(subject);
  const stored = store.readDowntime(name)?.record;
  const record = inForce(stored);
  const weight = withWeight
    ? inForce(store.readWeight(weightName(subject))?.record)?.weight ?? null
    : null;
  const others = { kept_out_by: null, weight, last: null };
  if (record !== undefined) return { ...downFields(name, record), ...others };
  if (stored !== undefined) await store.removeExpired(name).catch(() => {});
  const modeOf = (name: string) => inForce(store.readDowntime(name)?.record)?.mode;
  return { ...upFields(subject), ...others, kept_out_by: findWiderRecord(subject, modeOf) };
}

function inForce<T extends { readonly expiration: number | null }>(
  record: T | undefined,
): T | undefined {
  return record === undefined || isExpired(record, Date.now() / 1000) ? undefined : record;
}

/** Thrown instead of queuing a check when too many are queued already. */
export class QueueFullError extends Error {
  override name = "QueueFullError";
}

/** A service or a client: each can have only a share of the checks in flight. */
interface Party {
  readonly name: string;
  inFlight: number;
  queued: number;
  /** Its queues that were found blocked until it has fewer checks in flight. */
  parked: Set<Queue> | undefined;
}

/** The queued checks of one service for one client, the oldest first. */
interface Queue {
  readonly name: string;
  readonly service: Party;
  readonly client: Party;
  readonly waiting: Set<(slot: Slot) => void>;
}

/** The right to have one check in flight. */
export class Slot implements Disposable {
  readonly #release: (service: Party, client: Party) => void;
  readonly #service: Party;
  readonly #client: Party;
  #isHeld = true;

  /** Slots come from {@linkcode Limiter.tryAcquire} and {@linkcode Limiter.acquire}. */
  constructor(
    service: Party,
    client: Party,
    release: (service: Party, client: Party) => void,
  ) {
    this.#service = service;
    this.#client = client;
    this.#release = release;
  }

  /** Releases the slot, however often it is called. */
  [Symbol.dispose](): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#release(this.#service, this.#client);
  }
}

/**
 * Limits how many checks are in flight, and queues the others.
 *
 * One service, and one client, can have at most half of the slots (rounded up), so that services that hang, or
 * a client that asks too much, leave the other half to all others. Each pair of service and client has a
 * queue. A free slot goes to the queues in turn, past those whose service or client has its half.
 *
 * At most two services and two clients can have half of the slots at once. Their queues are parked when they
 * are found blocked, so that finding the next check takes the same time however many are queued.
 *
 * @example
 * ```ts
 * import { Limiter } from "./limiter.ts";
 *
 * const limiter = new Limiter(10, 1000);
 * using _slot = limiter.tryAcquire("127.0.0.1:8080", "10.0.0.1") ??
 *   await limiter.acquire("127.0.0.1:8080", "10.0.0.1", AbortSignal.timeout(1000));
 * // At most ten are here at the same time, and at most five for this service or this client.
 * ```
 */
export class Limiter {
  readonly #maxInFlight: number;
  readonly #share: number;
  readonly #maxQueued: number;
  readonly #services = new Map<string, Party>();
  readonly #clients = new Map<string, Party>();
  readonly #queues = new Map<string, Queue>();
  /** The queues that are not parked, the one whose turn is next first. */
  readonly #ready = new Set<Queue>();
  readonly #release = (service: Party, client: Party) => this.#released(service, client);
  #inFlight = 0;
  #queued = 0;

  /**
   * @param maxInFlight How many checks may be in flight at once.
   * @param maxQueued How many checks may be queued; those of one client at most half of them.
   */
  constructor(maxInFlight: number, maxQueued: number) {
    this.#maxInFlight = maxInFlight;
    this.#share = Math.ceil(maxInFlight / 2);
    this.#maxQueued = maxQueued;
  }

  /** How many checks are in flight. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** How many checks are queued. */
  get queued(): number {
    return this.#queued;
  }

  /**
   * Takes a free slot, without a promise.
   *
   * @param service The service to be checked.
   * @param client The client that asks.
   * @returns The slot, to be disposed of; undefined if the check has to be queued.
   */
  tryAcquire(service: string, client: string): Slot | undefined {
    if (this.#inFlight >= this.#maxInFlight) return undefined;
    const services = this.#services.get(service);
    if (services !== undefined && services.inFlight >= this.#share) return undefined;
    const clients = this.#clients.get(client);
    if (clients !== undefined && clients.inFlight >= this.#share) return undefined;
    return this.#take(
      services ?? partyOf(this.#services, service),
      clients ?? partyOf(this.#clients, client),
    );
  }

  /**
   * Takes a slot as soon as there is one.
   *
   * @param service The service to be checked.
   * @param client The client that asks.
   * @param signal Takes the check out of its queue.
   * @returns The slot, to be disposed of.
   * @throws {QueueFullError} If too many checks are queued already.
   * @throws {Error} The signal's reason, if it aborts before there is a slot.
   */
  async acquire(service: string, client: string, signal: AbortSignal): Promise<Slot> {
    signal.throwIfAborted();
    const slot = this.tryAcquire(service, client);
    if (slot !== undefined) return slot;
    const share = Math.ceil(this.#maxQueued / 2);
    if (this.#queued >= this.#maxQueued) {
      throw new QueueFullError(`${this.#queued} checks are already queued`);
    }
    if ((this.#clients.get(client)?.queued ?? 0) >= share) {
      throw new QueueFullError(`${share} checks of client ${client} are already queued`);
    }
    return await this.#wait(this.#queueOf(service, client), signal);
  }

  /**
   * Explains why a check is queued.
   *
   * @param service The service to be checked.
   * @param client The client that asks.
   * @returns The limit that has been reached, and its value.
   */
  reason(service: string, client: string): string {
    for (
      const [party, what] of [
        [this.#services.get(service), `service ${service}`],
        [this.#clients.get(client), `client ${client}`],
      ] as const
    ) {
      if (party !== undefined && party.inFlight >= this.#share) {
        return `${party.inFlight} checks of ${what} are in flight, ` +
          `of at most ${this.#share} (half of max_clients)`;
      }
    }
    return `${this.#inFlight} checks are in flight, of at most ${this.#maxInFlight} (max_clients)`;
  }

  #take(service: Party, client: Party): Slot {
    this.#inFlight++;
    service.inFlight++;
    client.inFlight++;
    return new Slot(service, client, this.#release);
  }

  #released(service: Party, client: Party): void {
    this.#inFlight--;
    service.inFlight--;
    client.inFlight--;
    if (this.#queued > 0) {
      this.#unpark(service);
      this.#unpark(client);
      this.#dispatch();
    }
    this.#forget(service, client);
  }

  #forget(service: Party, client: Party): void {
    if (service.inFlight === 0 && service.queued === 0) this.#services.delete(service.name);
    if (client.inFlight === 0 && client.queued === 0) this.#clients.delete(client.name);
  }

  #wait(queue: Queue, signal: AbortSignal): Promise<Slot> {
    return new Promise((resolve, reject) => {
      const start = (slot: Slot) => {
        signal.removeEventListener("abort", giveUp);
        resolve(slot);
      };
      const giveUp = () => {
        this.#remove(queue, start);
        this.#forget(queue.service, queue.client);
        reject(signal.reason);
      };
      queue.waiting.add(start);
      queue.service.queued++;
      queue.client.queued++;
      this.#queued++;
      signal.addEventListener("abort", giveUp, { once: true });
    });
  }

  #queueOf(service: string, client: string): Queue {
    const name = `${client} ${service}`;
    let queue = this.#queues.get(name);
    if (queue === undefined) {
      queue = {
        name,
        service: partyOf(this.#services, service),
        client: partyOf(this.#clients, client),
        waiting: new Set(),
      };
      this.#queues.set(name, queue);
      this.#ready.add(queue);
    }
    return queue;
  }

  /** Takes one check out of its queue, and removes a queue that is empty then. */
  #remove(queue: Queue, start: (slot: Slot) => void): void {
    queue.waiting.delete(start);
    queue.service.queued--;
    queue.client.queued--;
    this.#queued--;
    if (queue.waiting.size > 0) return;
    this.#queues.delete(queue.name);
    queue.service.parked?.delete(queue);
    queue.client.parked?.delete(queue);
    if (!this.#ready.delete(queue)) return;
    this.#unpark(queue.service);
    this.#unpark(queue.client);
  }

  /** Gives the free slots to the queues in turn. */
  #dispatch(): void {
    for (const queue of this.#ready) {
      if (this.#inFlight >= this.#maxInFlight) return;
      const blocker = this.#blockerOf(queue);
      if (blocker !== undefined) {
        this.#ready.delete(queue);
        (blocker.parked ??= new Set()).add(queue);
        this.#unpark(otherParty(queue, blocker));
        continue;
      }
      const [start] = queue.waiting;
      const slot = this.#take(queue.service, queue.client);
      this.#remove(queue, start!);
      // The next turn is that of the other queues; the loop comes back to this one after them.
      if (this.#ready.delete(queue)) this.#ready.add(queue);
      start!(slot);
    }
  }

  /**
   * Makes one parked queue of a party ready again, if the party is below its share.
   *
   * So a party below its share always has a ready queue or no parked one: no check waits for a turn that never
   * comes.
   */
  #unpark(party: Party): void {
    if (party.parked === undefined || party.inFlight >= this.#share) return;
    for (const queue of party.parked) {
      party.parked.delete(queue);
      const other = otherParty(queue, party);
      if (other.inFlight < this.#share) {
        this.#ready.add(queue);
        return;
      }
      (other.parked ??= new Set()).add(queue);
    }
  }

  /** The one of a queue's two parties that has reached its share, if there is one. */
  #blockerOf({ service, client }: Queue): Party | undefined {
    if (client.inFlight >= this.#share) return client;
    return service.inFlight >= this.#share ? service : undefined;
  }
}

function partyOf(parties: Map<string, Party>, name: string): Party {
  let party = parties.get(name);
  if (party === undefined) {
    parties.set(name, party = { name, inFlight: 0, queued: 0, parked: undefined });
  }
  return party;
}

function otherParty({ service, client }: Queue, party: Party): Party {
  return party === client ? service : client;
}

/** Thrown at a check that would have to wait behind too many others. */
export class QueueFullError extends Error {
  override name = "QueueFullError";
}

/** What may hold only a share of the places: a service, or a client. */
interface Holder {
  readonly name: string;
  /** How many places it holds. */
  held: number;
  /** How many checks of it wait. */
  waiting: number;
  /** Its lines that were found to wait until this holder holds fewer places. */
  parked: Set<Line> | undefined;
}

/** The checks of one service that wait for one client, the first one first. */
interface Line {
  readonly name: string;
  readonly service: Holder;
  readonly client: Holder;
  readonly waiting: Set<(place: Place) => void>;
}

/** A place that is held. */
export class Place implements Disposable {
  readonly #leave: (service: Holder, client: Holder) => void;
  readonly #service: Holder;
  readonly #client: Holder;
  #isHeld = true;

  /** Places come from {@linkcode Limiter.tryAcquire} and {@linkcode Limiter.acquire}. */
  constructor(
    service: Holder,
    client: Holder,
    leave: (service: Holder, client: Holder) => void,
  ) {
    this.#service = service;
    this.#client = client;
    this.#leave = leave;
  }

  /** Gives the place up. */
  [Symbol.dispose](): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#leave(this.#service, this.#client);
  }
}

/**
 * Gives a limited number of places to checks; the others wait.
 *
 * One service, and one client, can hold at most half of the places (rounded up), so that services that hang, or
 * a client that asks too much, leave the other half to everybody else. A check that waits for its service or
 * its client blocks nobody: the queue has a line for each pair of service and client, and a place that becomes
 * free goes to the lines in turn, past those that may not have it.
 *
 * At most two services and two clients can hold half of the places at once. Their lines are parked when they
 * are found not to be eligible, so that to find the next check takes the same time however many wait.
 *
 * @example
 * ```ts
 * import { Limiter } from "./limiter.ts";
 *
 * const limiter = new Limiter(10, 1000);
 * using _place = limiter.tryAcquire("127.0.0.1:8080", "10.0.0.1") ??
 *   await limiter.acquire("127.0.0.1:8080", "10.0.0.1", AbortSignal.timeout(1000));
 * // At most ten are here at the same time, and at most five for this service or this client.
 * ```
 */
export class Limiter {
  readonly #places: number;
  readonly #share: number;
  readonly #maxWaiting: number;
  readonly #services = new Map<string, Holder>();
  readonly #clients = new Map<string, Holder>();
  readonly #lines = new Map<string, Line>();
  /** The lines that are not parked, in the order in which they have their turn. */
  readonly #ready = new Set<Line>();
  readonly #leave = (service: Holder, client: Holder) => this.#left(service, client);
  #taken = 0;
  #waiting = 0;

  /**
   * @param places How many may be held at once.
   * @param maxWaiting How many may wait; those of one client at most half of them.
   */
  constructor(places: number, maxWaiting: number) {
    this.#places = places;
    this.#share = Math.ceil(places / 2);
    this.#maxWaiting = maxWaiting;
  }

  /** How many places are held. */
  get inFlight(): number {
    return this.#taken;
  }

  /** How many checks wait. */
  get queued(): number {
    return this.#waiting;
  }

  /**
   * Takes a place at once, without a promise.
   *
   * @param service The service to be checked.
   * @param client The client that asks.
   * @returns The place, to be disposed of; undefined if the check would have to wait.
   */
  tryAcquire(service: string, client: string): Place | undefined {
    if (this.#taken >= this.#places) return undefined;
    const services = this.#services.get(service);
    if (services !== undefined && services.held >= this.#share) return undefined;
    const clients = this.#clients.get(client);
    if (clients !== undefined && clients.held >= this.#share) return undefined;
    return this.#take(
      services ?? holderOf(this.#services, service),
      clients ?? holderOf(this.#clients, client),
    );
  }

  /**
   * Waits for a place.
   *
   * @param service The service to be checked.
   * @param client The client that asks.
   * @param signal Ends the waiting.
   * @returns The place, to be disposed of.
   * @throws {QueueFullError} If too many are waiting already.
   * @throws {Error} The signal's reason, if it aborts before there is a place.
   */
  async acquire(service: string, client: string, signal: AbortSignal): Promise<Place> {
    signal.throwIfAborted();
    const place = this.tryAcquire(service, client);
    if (place !== undefined) return place;
    const most = Math.ceil(this.#maxWaiting / 2);
    if (this.#waiting >= this.#maxWaiting) {
      throw new QueueFullError(`${this.#waiting} checks wait already`);
    }
    if ((this.#clients.get(client)?.waiting ?? 0) >= most) {
      throw new QueueFullError(`${most} checks of client ${client} wait already`);
    }
    return await this.#called(this.#lineOf(service, client), signal);
  }

  /**
   * Explains why a check has to wait.
   *
   * @param service The service to be checked.
   * @param client The client that asks.
   */
  reason(service: string, client: string): string {
    for (
      const [holder, what] of [
        [this.#services.get(service), `service ${service}`],
        [this.#clients.get(client), `client ${client}`],
      ] as const
    ) {
      if (holder !== undefined && holder.held >= this.#share) {
        return `${holder.held} checks of ${what} are in flight, ` +
          `of at most ${this.#share} (half of max_clients)`;
      }
    }
    return `${this.#taken} checks are in flight, of at most ${this.#places} (max_clients)`;
  }

  #take(service: Holder, client: Holder): Place {
    this.#taken++;
    service.held++;
    client.held++;
    return new Place(service, client, this.#leave);
  }

  #left(service: Holder, client: Holder): void {
    this.#taken--;
    service.held--;
    client.held--;
    if (this.#waiting > 0) {
      this.#unpark(service);
      this.#unpark(client);
      this.#fill();
    }
    this.#forget(service, client);
  }

  #forget(service: Holder, client: Holder): void {
    if (service.held === 0 && service.waiting === 0) this.#services.delete(service.name);
    if (client.held === 0 && client.waiting === 0) this.#clients.delete(client.name);
  }

  #called(line: Line, signal: AbortSignal): Promise<Place> {
    return new Promise((resolve, reject) => {
      const call = (place: Place) => {
        signal.removeEventListener("abort", giveUp);
        resolve(place);
      };
      const giveUp = () => {
        this.#remove(line, call);
        this.#forget(line.service, line.client);
        reject(signal.reason);
      };
      line.waiting.add(call);
      line.service.waiting++;
      line.client.waiting++;
      this.#waiting++;
      signal.addEventListener("abort", giveUp, { once: true });
    });
  }

  #lineOf(service: string, client: string): Line {
    const name = `${client} ${service}`;
    let line = this.#lines.get(name);
    if (line === undefined) {
      line = {
        name,
        service: holderOf(this.#services, service),
        client: holderOf(this.#clients, client),
        waiting: new Set(),
      };
      this.#lines.set(name, line);
      this.#ready.add(line);
    }
    return line;
  }

  /** Takes one out of its line, and takes away a line that is empty then. */
  #remove(line: Line, call: (place: Place) => void): void {
    line.waiting.delete(call);
    line.service.waiting--;
    line.client.waiting--;
    this.#waiting--;
    if (line.waiting.size > 0) return;
    this.#lines.delete(line.name);
    line.service.parked?.delete(line);
    line.client.parked?.delete(line);
    if (!this.#ready.delete(line)) return;
    this.#unpark(line.service);
    this.#unpark(line.client);
  }

  /** Gives the free places to the lines in turn. */
  #fill(): void {
    for (const line of this.#ready) {
      if (this.#taken >= this.#places) return;
      const blocker = this.#blockerOf(line);
      if (blocker !== undefined) {
        this.#ready.delete(line);
        (blocker.parked ??= new Set()).add(line);
        this.#unpark(otherHolder(line, blocker));
        continue;
      }
      const [call] = line.waiting;
      const place = this.#take(line.service, line.client);
      this.#remove(line, call!);
      // The next turn is that of the other lines; the loop comes back to this one after them.
      if (this.#ready.delete(line)) this.#ready.add(line);
      call!(place);
    }
  }

  /**
   * Lets a line of a holder have its turn again, if the holder may hold another place.
   *
   * So, as long as a holder may hold another place, either one of its lines is ready or none of its lines is
   * parked with it: no check waits for a turn that never comes.
   */
  #unpark(holder: Holder): void {
    if (holder.parked === undefined || holder.held >= this.#share) return;
    for (const line of holder.parked) {
      holder.parked.delete(line);
      const other = otherHolder(line, holder);
      if (other.held < this.#share) {
        this.#ready.add(line);
        return;
      }
      (other.parked ??= new Set()).add(line);
    }
  }

  /** The one of a line's two holders that may hold no other place, if there is one. */
  #blockerOf({ service, client }: Line): Holder | undefined {
    if (client.held >= this.#share) return client;
    return service.held >= this.#share ? service : undefined;
  }
}

function holderOf(holders: Map<string, Holder>, name: string): Holder {
  let holder = holders.get(name);
  if (holder === undefined) {
    holders.set(name, holder = { name, held: 0, waiting: 0, parked: undefined });
  }
  return holder;
}

function otherHolder({ service, client }: Line, holder: Holder): Holder {
  return holder === client ? service : client;
}

/**
 * Certificates, made by OpenSSL.
 *
 * @module
 */

import { run, type TempFolder } from "../support/programs.ts";

/** The programs that they take. */
export const CERTIFICATE_PROGRAMS: readonly string[] = ["openssl"];

/** A certificate and its key. */
export interface Certificate {
  /** The path of the certificate and, behind it, of those that its issuer needs to be known by. */
  readonly certificate: string;
  /** The path of its key. */
  readonly key: string;
}

/** What a certificate says. */
export interface CertificateOptions {
  /** For whom it is, as OpenSSL writes it: `DNS:web.example,IP:127.0.0.1`; nobody, if not given. */
  readonly for?: string;
  /** From when on it is valid, in days from now. */
  readonly from?: number;
  /** Until when it is valid, in days from now. */
  readonly until?: number;
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** Who issues certificates. */
export class Authority implements Certificate {
  readonly #folder: TempFolder;
  readonly #name: string;
  readonly #above: string;

  /** The path of its own certificate. */
  readonly certificate: string;
  /** The path of its key. */
  readonly key: string;

  private constructor(folder: TempFolder, name: string, above: string) {
    this.#folder = folder;
    this.#name = name;
    this.#above = above;
    this.certificate = folder.file(`${name}.pem`);
    this.key = folder.file(`${name}.key`);
    folder.write(
      `${name}.cnf`,
      `[ca]
default_ca = it
[it]
database = ${folder.write(`${name}.index`, "")}
new_certs_dir = ${folder.path}
certificate = ${this.certificate}
private_key = ${this.key}
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
[any]
commonName = supplied
`,
    );
  }

  /**
   * Makes one that trusts in itself.
   *
   * @param folder Where to keep what it makes.
   * @param name A name that is not used in the folder yet.
   */
  static async create(folder: TempFolder, name: string): Promise<Authority> {
    const authority = new Authority(folder, name, "");
    await selfSign(authority, `/CN=${name}`);
    return authority;
  }

  /**
   * Makes one that this one answers for.
   *
   * @param name A name that is not used in the folder yet.
   * @param options What its certificate says.
   */
  async createSubordinate(name: string, options: CertificateOptions = {}): Promise<Authority> {
    await this.#issue(name, "basicConstraints = critical, CA:true", options);
    const own = Deno.readTextFileSync(this.#folder.file(`${name}.pem`));
    return new Authority(this.#folder, name, own + this.#above);
  }

  /**
   * Issues a certificate.
   *
   * @param name A name that is not used in the folder yet.
   * @param options What it says.
   */
  issue(name: string, options: CertificateOptions): Promise<Certificate> {
    const names = options.for === undefined ? "" : `\nsubjectAltName = ${options.for}`;
    return this.#issue(name, `basicConstraints = CA:false${names}`, options);
  }

  async #issue(
    name: string,
    extensions: string,
    { from = -1, until = 30 }: CertificateOptions,
  ): Promise<Certificate> {
    const folder = this.#folder;
    const made = { certificate: folder.file(`${name}.pem`), key: folder.file(`${name}.key`) };
    const request = folder.file(`${name}.csr`);
    await openssl(
      "req",
      "-new",
      ...NEW_KEY,
      "-subj",
      `/CN=${name}`,
      "-keyout",
      made.key,
      "-out",
      request,
    );
    await openssl(
      ...["ca", "-batch", "-notext", "-config", folder.file(`${this.#name}.cnf`)],
      ...["-extfile", folder.write(`${name}.ext`, extensions)],
      ...["-startdate", timeIn(from), "-enddate", timeIn(until)],
      ...["-in", request, "-out", made.certificate],
    );
    Deno.writeTextFileSync(made.certificate, this.#above, { append: true });
    return made;
  }
}

/**
 * Makes a certificate that nobody has issued but itself.
 *
 * @param folder Where to keep it.
 * @param name A name that is not used in the folder yet.
 * @param names For whom it is, as OpenSSL writes it.
 */
export async function issueSelfSigned(
  folder: TempFolder,
  name: string,
  names: string,
): Promise<Certificate> {
  const made = { certificate: folder.file(`${name}.pem`), key: folder.file(`${name}.key`) };
  await selfSign(made, `/CN=${name}`, "-addext", `subjectAltName=${names}`);
  return made;
}

function selfSign(made: Certificate, subject: string, ...args: readonly string[]): Promise<void> {
  const files = ["-keyout", made.key, "-out", made.certificate];
  return openssl("req", "-x509", ...NEW_KEY, "-days", "30", "-subj", subject, ...files, ...args);
}

/** A time as ASN.1 writes it: `20250101000000Z`. */
function timeIn(days: number): string {
  return new Date(Date.now() + days * 86_400_000).toISOString().replace(/[-:T]|\.\d+/g, "");
}

async function openssl(...args: readonly string[]): Promise<void> {
  const { code, stderr } = await run("openssl", args);
  if (code !== 0) throw new Error(`openssl ${args.join(" ")} failed: ${stderr}`);
}

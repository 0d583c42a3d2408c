/**
 * Makes certificates by OpenSSL.
 *
 * @module
 */

import { run, type TempFolder } from "../support/programs.ts";

/** The programs that certificates need. */
export const CERTIFICATE_PROGRAMS: readonly string[] = ["openssl"];

/** A certificate and its key. */
export interface Certificate {
  /** The path of the certificate, followed by those of intermediate authorities. */
  readonly certificate: string;
  /** The path of its key. */
  readonly key: string;
}

/** The content of a certificate. */
export interface CertificateOptions {
  /** Its subject alternative names, as OpenSSL writes them: `DNS:web.example,IP:127.0.0.1`; none, if not given. */
  readonly for?: string;
  /** The start of its validity, in days from now. */
  readonly from?: number;
  /** The end of its validity, in days from now. */
  readonly until?: number;
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** A certificate authority. */
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
   * Makes a root authority.
   *
   * @param folder The folder of its files.
   * @param name A name that is not used in the folder yet.
   */
  static async create(folder: TempFolder, name: string): Promise<Authority> {
    const authority = new Authority(folder, name, "");
    await selfSign(authority, `/CN=${name}`);
    return authority;
  }

  /**
   * Makes an intermediate authority.
   *
   * @param name A name that is not used in the folder yet.
   * @param options The content of its certificate.
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
   * @param options The content of the certificate.
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
 * Makes a self-signed certificate.
 *
 * @param folder The folder of its files.
 * @param name A name that is not used in the folder yet.
 * @param names Its subject alternative names, as OpenSSL writes them.
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

/** Formats a time as ASN.1 does: `20250101000000Z`. */
function timeIn(days: number): string {
  return new Date(Date.now() + days * 86_400_000).toISOString().replace(/[-:T]|\.\d+/g, "");
}

async function openssl(...args: readonly string[]): Promise<void> {
  const { code, stderr } = await run("openssl", args);
  if (code !== 0) throw new Error(`openssl ${args.join(" ")} failed: ${stderr}`);
}

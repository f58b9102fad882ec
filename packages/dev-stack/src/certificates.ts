import { type GenerateResult, generate, type SelfsignedOptions } from 'selfsigned';

/** A server's certificate and key, and the certificate of the authority that signed it; PEM texts. */
export interface ServerCertificate {
  readonly certificate: string;
  readonly key: string;
  readonly authority: string;
}

const validityMs = 24 * 3600_000;
const since = (ms: number) => new Date(Date.now() - ms);

const make = (commonName: string, options: SelfsignedOptions): Promise<GenerateResult> =>
  generate([{ name: 'commonName', value: commonName }], {
    keyType: 'ec',
    algorithm: 'sha256',
    notBeforeDate: since(60_000), // clocks of one machine may differ from themselves
    notAfterDate: since(-validityMs),
    ...options,
  });

/** A certificate for one host name, by a new authority that nobody else trusts; good for a day. */
export async function certify(hostName: string): Promise<ServerCertificate> {
  const authority = await make('a test authority', {
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, critical: true },
    ],
  });
  const server = await make(hostName, {
    ca: { key: authority.private, cert: authority.cert },
    extensions: [
      { name: 'basicConstraints', cA: false },
      { name: 'keyUsage', digitalSignature: true },
      { name: 'extKeyUsage', serverAuth: true },
      { name: 'subjectAltName', altNames: [{ type: 2, value: hostName }] },
    ],
  });
  return { certificate: server.cert, key: server.private, authority: authority.cert };
}

/** Every way in which the API refuses or fails; the code is what clients may rely on. */
export const problemKinds = {
  malformed_request: { status: 400, title: 'The request cannot be read' },
  malformed_json: { status: 400, title: 'The body is not JSON' },
  invalid_request: { status: 400, title: 'The request is not valid' },
  unauthorized: { status: 401, title: 'A valid API key is required' },
  not_found: { status: 404, title: 'There is no such resource' },
  method_not_allowed: { status: 405, title: 'The resource does not know this method' },
  request_timeout: { status: 408, title: 'The request took too long to arrive' },
  body_too_large: { status: 413, title: 'The body is too large' },
  uri_too_long: { status: 414, title: 'The address is too long' },
  unsupported_media_type: { status: 415, title: 'The body must be application/json' },
  idempotency_key_reused: { status: 422, title: 'The idempotency key belongs to another request' },
  headers_too_large: { status: 431, title: 'The headers are too large' },
  internal_error: { status: 500, title: 'Something went wrong on our side' },
  unavailable: { status: 503, title: 'The service cannot answer now' },
} as const;

/** Stable code of a problem. */
export type ApiErrorCode = keyof typeof problemKinds;

/** What is wrong with one field. `field` is a JSON pointer into the body, or the name of a header. */
export interface FieldProblem {
  readonly in: 'body' | 'header';
  readonly field: string;
  readonly message: string;
}

/** What an error may say beside its code. `detail` and `errors` are shown to the client: no internals in them. */
export interface ApiErrorOptions extends ErrorOptions {
  readonly detail?: string;
  readonly errors?: readonly FieldProblem[];
  readonly headers?: Readonly<Record<string, string>>;
  /** Whether it is our fault, to be logged as an error; by default every status from 500 is. */
  readonly isFault?: boolean;
}

/** An answer that is not the one the client asked for. */
export class ApiError extends Error {
  readonly code: ApiErrorCode;
  readonly statusCode: number;
  readonly detail: string | undefined;
  readonly errors: readonly FieldProblem[] | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly isFault: boolean;

  constructor(code: ApiErrorCode, options: ApiErrorOptions = {}) {
    super(options.detail ?? problemKinds[code].title, options);
    this.name = 'ApiError';
    this.code = code;
    this.statusCode = problemKinds[code].status;
    this.detail = options.detail;
    this.errors = options.errors;
    this.headers = options.headers ?? {};
    this.isFault = options.isFault ?? this.statusCode >= 500;
  }
}

/** Seconds after which a client may try again. */
const retryAfterSeconds = 1;

const retryAfter = { 'retry-after': String(retryAfterSeconds) };

/** The client may repeat the request with the same idempotency key, and will not order twice. */
export const unavailable = (detail: string, cause?: unknown): ApiError =>
  new ApiError('unavailable', { detail, cause, headers: retryAfter });

/** As `unavailable`, in an orderly drain: nothing is wrong. */
export const shuttingDown = (): ApiError =>
  new ApiError('unavailable', {
    detail: 'the service is shutting down',
    headers: retryAfter,
    isFault: false,
  });

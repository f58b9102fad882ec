import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { isDatabaseUnavailable } from './database-unavailable.ts';
import { ApiError, type ApiErrorCode, problemKinds, unavailable } from './errors.ts';

const contentType = 'application/problem+json';

/** What fastify and node call the problems that they find before our code runs. */
const frameworkCodes: Readonly<Record<string, ApiErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'body_too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'malformed_json',
  FST_ERR_MAX_PARAM_LENGTH: 'uri_too_long',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
  HPE_HEADER_OVERFLOW: 'headers_too_large',
};

/** What the client is told of an error. Nothing of an error that is not ours gets out. */
export function apiErrorOf(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  const { code, statusCode } = (error ?? {}) as { code?: unknown; statusCode?: unknown };
  const known = typeof code === 'string' ? frameworkCodes[code] : undefined;
  if (known !== undefined) return new ApiError(known, { cause: error });
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return new ApiError('malformed_request', { cause: error });
  }
  if (isDatabaseUnavailable(error)) return unavailable('the database cannot be reached in time', error);
  return new ApiError('internal_error', { cause: error });
}

/** RFC 9457 problem details. */
const bodyOf = (error: ApiError, correlationId?: string): string =>
  JSON.stringify({
    type: `urn:orders:problem:${error.code}`,
    title: problemKinds[error.code].title,
    status: error.statusCode,
    code: error.code,
    detail: error.detail,
    errors: error.errors,
    correlationId,
  });

/** Answers a request with a problem and logs it: what is our fault as an error, with its cause. */
export function sendProblem(thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const error = apiErrorOf(thrown);
  const { statusCode, code } = error;
  const fields = { statusCode, code, method: request.method, route: request.routeOptions.url };
  if (error.isFault) request.log.error({ ...fields, err: thrown }, 'request failed');
  else request.log.info({ ...fields, detail: error.detail, errors: error.errors }, 'request refused');
  return reply
    .code(statusCode)
    .headers({ ...error.headers, 'x-correlation-id': request.id, 'content-type': contentType })
    .send(Buffer.from(bodyOf(error, request.id))); // to text fastify adds a charset, which this type has not
}

/** Answers on a connection whose bytes were no request, or never became one, and ends it. */
export function refuseConnection(thrown: Error & { code?: string }, socket: Socket): void {
  if (thrown.code !== 'ECONNRESET' && socket.writable) {
    const error = new ApiError(frameworkCodes[thrown.code ?? ''] ?? 'malformed_request');
    const body = bodyOf(error);
    const head = [
      `HTTP/1.1 ${error.statusCode} ${STATUS_CODES[error.statusCode]}`,
      `content-type: ${contentType}`,
      `content-length: ${Buffer.byteLength(body)}`,
      'connection: close',
    ];
    socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
  }
  socket.destroy();
}

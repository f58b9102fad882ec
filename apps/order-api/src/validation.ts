import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { ApiError, type FieldProblem } from './errors.ts';

/** An answer names at most this many problems, each by a field name of at most this length. */
const problemsMax = 10;
const fieldLengthMax = 200;

/**
 * Validates without changing anything: no coercion, no default, no removal of unknown fields. Text in a body that
 * PostgreSQL cannot store, or that is not Unicode, is refused as well.
 */
export const strictValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const validator = Compile(schema);
  const inWords = (error: SchemaError) => schemaProblems(error, schema);
  const part = httpPart === 'body' ? 'body' : 'header';
  return (value: unknown) => {
    const problems = validator.Check(value)
      ? textProblems(part === 'body' ? value : undefined)
      : validator.Errors(value).flatMap(inWords);
    return problems.length === 0 ? { value } : { error: invalidRequest(part, problems) };
  };
};

type Problem = Omit<FieldProblem, 'in'>;

/** The refusal of a request whose fields are wrong. */
export function invalidRequest(part: FieldProblem['in'], problems: readonly Problem[]): ApiError {
  const errors = problems.slice(0, problemsMax).map(({ field, message }) => {
    const name = part === 'header' ? field.slice(1) : field;
    return { in: part, field: name.slice(0, fieldLengthMax), message };
  });
  return new ApiError('invalid_request', { errors });
}

interface SchemaError {
  keyword: string;
  schemaPath: string;
  instancePath: string;
  message: string;
  params: object;
}

function schemaProblems(error: SchemaError, schema: TSchema): Problem[] {
  const { keyword, instancePath, message, params } = error;
  switch (keyword) {
    case 'required': {
      const { requiredProperties } = params as { requiredProperties: string[] };
      return requiredProperties.map((name) => ({ field: `${instancePath}/${name}`, message: 'is missing' }));
    }
    case 'boolean': // the schema `false` of a field that the object does not have
      return [{ field: instancePath, message: 'is not a known field' }];
    case 'pattern': {
      const description = descriptionAt(schema, error.schemaPath);
      return [
        { field: instancePath, message: description === undefined ? message : `must be ${description}` },
      ];
    }
    case 'additionalProperties': // says together what `boolean` has said of each
      return [];
    default:
      return [{ field: instancePath, message }];
  }
}

/** What the schema at a path such as `#/properties/currency` says of its values, for people. */
function descriptionAt(schema: TSchema, path: string): string | undefined {
  const steps = path.split('/').slice(1);
  const part = steps.reduce<unknown>((at, step) => (at as Record<string, unknown>)[step], schema);
  return (part as { description?: string }).description;
}

/** JSON Pointer (RFC 6901) of a member. */
export const member = (pointer: string, key: string | number): string =>
  `${pointer}/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`;

/** For a value whose depth the schema has bounded. */
function textProblems(value: unknown, pointer = ''): Problem[] {
  if (typeof value === 'string') return textProblem(value, pointer);
  if (typeof value !== 'object' || value === null) return [];
  if (Array.isArray(value)) return value.flatMap((item, i) => textProblems(item, member(pointer, i)));
  return Object.entries(value).flatMap(([key, item]) => {
    const field = member(pointer, key);
    if (key === '__proto__') return [{ field, message: 'is not a name that a field may have' }];
    return [...textProblem(key, field), ...textProblems(item, field)];
  });
}

function textProblem(text: string, field: string): Problem[] {
  if (text.includes('\u0000')) return [{ field, message: 'must not contain U+0000' }];
  if (!text.isWellFormed()) return [{ field, message: 'must not contain a lone surrogate' }];
  return [];
}

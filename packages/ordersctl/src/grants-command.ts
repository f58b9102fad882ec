import { applyGrants, type ServiceRoles } from '@orders/db';
import { withDatabase } from './database-commands.ts';
import { answer, type CommonOptions, type Output } from './output.ts';

/** `ordersctl grants apply` */
export async function applyServiceGrants(
  output: Output,
  options: CommonOptions & ServiceRoles & { exact?: boolean },
): Promise<void> {
  const { api, relay, worker, outboxOwner, exact = false } = options;
  const roles = { api, relay, worker, outboxOwner };
  await withDatabase(({ db }) => applyGrants(db, { roles, exact }));
  answer(output, options, { roles, exact }, [
    `${api}, ${relay} and ${worker} have what they need${exact ? ' and nothing else' : ''}; ${outboxOwner} owns the outbox`,
  ]);
}

/** A body that is taken, with changes. */
export function orderBody(change: object = {}) {
  return {
    customerId: 'customer-1',
    currency: 'EUR',
    paymentMethod: 'tok_visa',
    items: [{ sku: 'tea-100', name: 'Green tea, 100 g', quantity: 2, unitAmountMinor: 1250 }],
    ...change,
  };
}

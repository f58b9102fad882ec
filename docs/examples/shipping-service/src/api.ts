import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { Shipment, Shipments } from './shipments.ts';

/**
 * `PUT /shipments/:id` { destination }, `POST /shipments/:id/dispatch` { carrier }, `GET /shipments/:id`. A caller who
 * got no answer, or a 500, asks again.
 */
export function createApi(shipments: Shipments, isReady: () => boolean): Server {
  async function answer({ method, url = '' }: IncomingMessage, body: Body): Promise<[number, unknown]> {
    if (url === '/readyz') return [isReady() ? 200 : 503, {}];
    const [, id, dispatch] = /^\/shipments\/([0-9a-f-]{36})(\/dispatch)?$/.exec(url) ?? [];
    if (id === undefined) return [404, { error: 'no such path' }];
    if (method === 'GET' && !dispatch) return found(await shipments.find(id));
    const { destination, carrier } = body;
    if (method === 'PUT' && !dispatch && destination) return found(await shipments.create(id, destination));
    if (method === 'POST' && dispatch && carrier) return found(await shipments.dispatch(id, carrier));
    return [400, { error: 'not understood' }];
  }

  return createServer(async (request, response) => {
    const [status, body] = await bodyOf(request)
      .then((given) => answer(request, given))
      .catch((error): [number, unknown] => {
        console.error(error);
        return [500, { error: 'try again' }];
      });
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
}

const found = (shipment: Shipment | undefined): [number, unknown] =>
  shipment ? [200, shipment] : [404, { error: 'no such shipment' }];

type Body = Partial<Record<string, string>>;

async function bodyOf(request: IncomingMessage): Promise<Body> {
  const text = (await request.setEncoding('utf8').toArray()).join('');
  return text ? Object(JSON.parse(text)) : {};
}

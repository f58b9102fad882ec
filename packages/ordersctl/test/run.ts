import { runCommandLine } from '../src/index.ts';

/** Runs a command line in this process, which is quicker than `ordersctl` as one of its own. */
export async function run(...args: string[]) {
  let [out, err] = ['', ''];
  const output = {
    out: (text: string) => {
      out += text;
    },
    err: (text: string) => {
      err += text;
    },
  };
  return { status: await runCommandLine(args, output), out, err, json: () => JSON.parse(out) };
}

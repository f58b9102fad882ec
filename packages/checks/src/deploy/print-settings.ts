// Prints what a config.ts reads from this process's environment, or what it objects to.
// node print-settings.ts FILE EXPORT
const [file = '', name = ''] = process.argv.slice(2);
const module = await import(file);
try {
  console.log(JSON.stringify({ settings: module[name]() }));
} catch (error) {
  const { problems, message } = error as Error & { problems?: string[] };
  console.log(JSON.stringify({ problems: problems ?? [message] }));
}

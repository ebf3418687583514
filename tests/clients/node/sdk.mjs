// Every call that the README of WaveSpeed's JavaScript SDK shows. The last line is a JSON object of what came back.
import wavespeed, {
  Client,
  WavespeedPredictionException,
  WavespeedSubmissionException,
  WavespeedSyncTimeoutException,
  WavespeedTimeoutException,
} from 'wavespeed';
import config from 'wavespeed/dist/config.js';

// The SDK has no variable for the base URL: its default is set to the sandbox's before the first call.
config.api.baseUrl = process.env.SANDBOX_URL;

const model = 'wavespeed-ai/z-image/turbo';
const cat = { prompt: 'Cat' };
const said = {};

said.run = await wavespeed.run(model, cat);
const client = new Client('sandbox-key');
said['with a client'] = await client.run(model, cat);
said.options = await wavespeed.run(model, cat, { timeout: 60.0, pollInterval: 0.2, enableSyncMode: false });
said.sync = await wavespeed.run(model, cat, { enableSyncMode: true });
const careful = new Client('sandbox-key', { maxRetries: 0, maxConnectionRetries: 5, retryInterval: 0.1 });
said.retries = await careful.run(model, { prompt: 'Cat [sandbox:unavailable=2]' }, { pollInterval: 0.2 });
said.upload = await wavespeed.upload(process.env.STILL);
const animate = { prompt: 'slow push in', image: said.upload };
said.clip = await client.run('wavespeed-ai/veo2-i2v', animate, { pollInterval: 0.2 });

const fine = await client.runNoThrow(model, cat);
said['no throw'] = { outputs: fine.outputs, taskId: fine.detail.taskId };

async function failing(prompt, options = {}, own = client) {
  const result = await own.runNoThrow(model, { prompt }, { pollInterval: 0.2, ...options });
  const { error, taskId } = result.detail;
  return { outputs: result.outputs, taskId, name: error.constructor.name, message: error.message, stack: Boolean(error.stack) };
}
said.failed = await failing('[sandbox:fails]');
said['timed out'] = await failing('[sandbox:slow=60]', { timeout: 0.6 });
said['sync timeout'] = await failing('[sandbox:sync-timeout]', { enableSyncMode: true });
try {
  await client.run(model, { prompt: '[sandbox:error-only]' });
} catch (error) {
  said.refused = { outputs: null, name: error.constructor.name, message: error.message };
}
said.classes = [
  WavespeedPredictionException,
  WavespeedTimeoutException,
  WavespeedSyncTimeoutException,
  WavespeedSubmissionException,
].map((each) => each.name);
console.log(JSON.stringify(said));

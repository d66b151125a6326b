// An application that knows nothing of this server, with the habits of the Node clients of the platform: one https agent
// that checks no certificate, a misspelt Content-Type, the scheme of the token as the login gave it, statuses compared
// exactly, a body with an error_code taken for a failure, pushes told apart by a substring of their text.
//
//   node client.js HOST:PORT APP_ID SECRET CA_FILE
//
// Prints `device ID SECRET` when the device may connect, and `done` at the end. Nothing but Node's own modules.
'use strict';

const http = require('http');
const https = require('https');
const querystring = require('querystring');

const [place, appId, secret] = process.argv.slice(2);
const [hostname, port] = place.split(':');
const agent = new https.Agent({ keepAlive: true, rejectUnauthorized: false });
const PATIENCE_MS = 12000;

const session = { token: null, type: null };

function fail(why) {
  console.error(`FAILED: ${why}`);
  process.exit(1);
}

function request(method, path, headers, body) {
  return new Promise((resolve, reject) => {
    const sent = https.request({ hostname, port, agent, method, path, headers }, (res) => {
      let text = '';
      res.on('data', (part) => { text += part; });
      res.on('end', () => resolve({ status: res.statusCode, type: res.headers['content-type'], text }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

// A call with the token; gives the parsed body. What counts is this very status, and no error_code.
async function call(expected, method, path, body) {
  const headers = { app_key: appId, Authorization: `${session.type} ${session.token}` };
  const text = body === undefined ? undefined : JSON.stringify(body);
  if (text !== undefined) {
    headers['Content-Type'] = 'applicaton/json';
    headers['Content-Length'] = Buffer.byteLength(text);
  }
  const answer = await request(method, path, headers, text);
  if (answer.text.includes('error_code') || answer.text.includes('1010005') || answer.status !== expected) {
    fail(`${method} ${path}: ${answer.status} ${answer.text}`);
  }
  if (answer.status === 204) return null;
  if (!answer.type) fail(`${method} ${path}: no Content-Type`);
  return answer.text === '' ? null : JSON.parse(answer.text);
}

async function login() {
  const form = querystring.stringify({ appId, secret });
  const headers = { 'Content-Type': 'application/x-www-form-urlencoded', 'Content-Length': form.length };
  const answer = await request('POST', '/iocm/app/sec/v1.1.0/login', headers, form);
  if (answer.status !== 200) fail(`login: ${answer.status} ${answer.text}`);
  const body = JSON.parse(answer.text);
  if (body.scope !== 'default' || !(body.expiresIn > 0)) fail(`login: ${answer.text}`);
  session.token = body.accessToken;
  session.type = body.tokenType;
  return body;
}

// The platform's times: yyyyMMdd'T'HHmmss'Z'.
function parseTime(text) {
  const found = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (!found) fail(`not a time: ${text}`);
  const [year, month, day, hour, minute, second] = found.slice(1).map(Number);
  return new Date(Date.UTC(year, month - 1, day, hour, minute, second));
}

// What came, as text, by kind of notice; changes of commands have none.
const pushes = { deviceAdded: [], bindDevice: [], deviceDeleted: [], command: [] };

function dispatch(text) {
  const kinds = Object.keys(pushes).filter((kind) => text.includes(`"notifyType":"${kind}"`));
  if (kinds.length === 1) pushes[kinds[0]].push(text);
  else if (!text.includes('"notifyType"')) pushes.command.push(text);
}

function receive() {
  const server = http.createServer((req, res) => {
    let text = '';
    req.on('data', (part) => { text += part; });
    req.on('end', () => {
      dispatch(text);
      res.writeHead(200);
      res.end();
    });
  });
  return new Promise((resolve) => { server.listen(0, '127.0.0.1', () => resolve(server)); });
}

async function until(what, condition) {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await condition())) {
    if (Date.now() > deadline) fail(`${what}; came: ${JSON.stringify(pushes)}`);
    await new Promise((resolve) => { setTimeout(resolve, 30); });
  }
}

async function register(nodeId) {
  const body = {
    appId,
    deviceInfo: { nodeId, manufacturerId: 'acme', deviceType: 'Lamp', model: 'L1', protocolType: 'MQTT', name: null },
    mqttConnect: true,
  };
  return call(200, 'POST', `/iocm/app/reg/v2.0.0/deviceCredentials?appId=${appId}`, body);
}

function command(deviceId, callbackUrl, expireTime) {
  return { deviceId, command: { serviceId: 'Lamp', method: 'SWITCH', paras: { value: 1 } }, callbackUrl, expireTime, maxRetransmit: 3 };
}

const COMMANDS = '/iocm/app/cmd/v1.4.0/deviceCommands';
const SUBSCRIPTIONS = '/iocm/app/sub/v1.2.0/subscriptions';
const DEVICES = '/iocm/app/dm/v1.4.0/devices';

// Creates a command for the device that is there, and sees it told of, step by step.
async function runs(device, callbackUrl) {
  const made = await call(201, 'POST', COMMANDS, command(device.deviceId, callbackUrl, 600));
  if (!/^[0-9a-f]{32}$/.test(made.commandId)) fail(`commandId: ${made.commandId}`);
  if (Math.abs(parseTime(made.creationTime) - Date.now()) > 60000) fail(`creationTime: ${made.creationTime}`);
  if (made.issuedTimes !== 0 || made.appId !== appId) fail(JSON.stringify(made));
  const told = () => pushes.command.map((text) => JSON.parse(text)).filter((push) => push.commandId === made.commandId);
  await until('SENT, DELIVERED, SUCCESSFUL', () => told().some((push) => push.result.resultCode === 'SUCCESSFUL'));
  const steps = [...new Set(told().map((push) => push.result.resultCode))].join();
  if (steps !== 'SENT,DELIVERED,SUCCESSFUL') fail(`steps: ${steps}`);
  const last = told().pop();
  if (last.deviceId !== device.deviceId || last.result.resultDetail.result !== 0) fail(JSON.stringify(last));

  const page = await call(200, 'GET', `${COMMANDS}?pageNo=0&pageSize=20&deviceid=${device.deviceId}&appId=${appId}`);
  const [found] = page.data;
  if (page.pagination.totalSize !== 1 || found.commandId !== made.commandId) fail(JSON.stringify(page));
  if (found.status !== 'SUCCESSFUL' || found.result.resultCode !== 'SUCCESSFUL') fail(JSON.stringify(found));
  if (parseTime(found.executeTime) < parseTime(found.creationTime)) fail(JSON.stringify(found));
}

// Takes back a command that waits for a device that is not there.
async function cancels(device, callbackUrl) {
  const made = await call(201, 'POST', COMMANDS, command(device.deviceId, callbackUrl));
  if (made.status !== 'PENDING' || made.expireTime !== 172800) fail(JSON.stringify(made));
  const over = await call(200, 'PUT', `${COMMANDS}/${made.commandId}`, { status: 'CANCELED' });
  if (over.status !== 'CANCELED') fail(JSON.stringify(over));
}

async function removes(device) {
  // With a body, as some do.
  await call(204, 'DELETE', `${DEVICES}/${device.deviceId}?cascade=true`, { deviceId: device.deviceId });
  await until('deviceDeleted', () => pushes.deviceDeleted.some((text) => text.includes(device.deviceId)));
}

async function main() {
  const server = await receive();
  const callbackUrl = `http://127.0.0.1:${server.address().port}/v1.0.0/messageReceiver`;
  await login();
  const there = await register('stranger-js-1');
  for (const notifyType of ['deviceAdded', 'bindDevice', 'deviceDeleted']) {
    const made = await call(201, 'POST', SUBSCRIPTIONS, { notifyType, callbackUrl });
    if (made.notifyType !== notifyType || !made.subscriptionId) fail(JSON.stringify(made));
  }
  const away = await register('stranger-js-2');
  await until('deviceAdded', () => pushes.deviceAdded.some((text) => text.includes(away.deviceId)));

  console.log(`device ${there.deviceId} ${there.secret}`);
  const status = async () => (await call(200, 'GET', `${DEVICES}/${there.deviceId}`)).deviceInfo.status;
  await until('ONLINE', async () => (await status()) === 'ONLINE');
  await until('bindDevice', () => pushes.bindDevice.some((text) => text.includes('"resultCode":"succeeded"')));

  await runs(there, `${callbackUrl}/cmd`);
  await cancels(away, `${callbackUrl}/cmd`);
  await removes(there);
  await removes(away);
  await call(204, 'DELETE', SUBSCRIPTIONS);
  await call(204, 'POST', '/iocm/app/sec/v1.1.0/logout', { accessToken: session.token });
  const after = await request('GET', DEVICES, { app_key: appId, Authorization: `Bearer ${session.token}` });
  if (after.status !== 403 || !after.text.includes('"resultcode":"1010005"')) fail(`after logout: ${after.status} ${after.text}`);
  console.log('done');
  process.exit(0);
}

main().catch((error) => fail(error.stack));

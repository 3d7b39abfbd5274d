// Shared by the interop scripts: proto files, a client, promises around calls, named cases.
'use strict';

const fs = require('fs');
const path = require('path');
const assert = require('assert');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const echoProtoRoot = path.join(__dirname, '..', 'proto');
const repositoryProtoRoot = path.join(__dirname, '..', '..', '..', 'proto');

// No call may hang a test run.
const timeoutMs = 30000;

function deadline(ms = timeoutMs) {
  return { deadline: new Date(Date.now() + ms) };
}

/** Loads a proto file and gives the package object that grpc-js builds from it. */
function load(root, file) {
  const definition = loader.loadSync(file, { includeDirs: [root], keepCase: true, longs: Number, enums: String, defaults: true });
  return grpc.loadPackageDefinition(definition);
}

/** The service constructor of a full name in a loaded package. */
function service(loaded, name) {
  return name.split('.').reduce((at, part) => at[part], loaded);
}

function connect(args, Service, options = {}) {
  const credentials = args.ca ? grpc.credentials.createSsl(fs.readFileSync(args.ca)) : grpc.credentials.createInsecure();
  return new Service(args.address, credentials, options);
}

/** A unary call as a promise of {answer, headers, trailers}. */
function unary(client, method, request, metadata = new grpc.Metadata(), options = deadline()) {
  return new Promise((resolve, reject) => {
    const result = {};
    const call = client[method](request, metadata, options, (error, answer) => {
      result.answer = answer;
      result.error = error;
    });
    call.on('metadata', (headers) => { result.headers = headers; });
    call.on('status', (status) => {
      result.trailers = status.metadata;
      // The callback and this event may come in either order.
      setImmediate(() => (status.code === grpc.status.OK ? resolve(result) : reject(result.error || Object.assign(new Error(status.details), status))));
    });
  });
}

/** Reads a streaming call to its end: all messages, then the status. Never rejects. */
function readAll(call, onMessage = () => {}) {
  return new Promise((resolve) => {
    const result = { messages: [] };
    call.on('metadata', (headers) => { result.headers = headers; });
    call.on('data', (message) => {
      result.messages.push(message);
      onMessage(message);
    });
    call.on('error', () => {});
    call.on('status', (status) => resolve(Object.assign(result, { status })));
  });
}

/** Awaits what must fail with a status; gives the error. */
async function failsWith(code, promise) {
  try {
    await promise;
  } catch (error) {
    assert.strictEqual(error.code, code, `expected ${code}, got ${error.code}: ${error.details || error.stack}`);
    return error;
  }
  throw new Error(`expected status ${code}, the call succeeded`);
}

/**
 * Runs {name: async (args) => …}; exits with 0 if all passed. Those of the second object need a server in a state of
 * their own and run only when named.
 */
async function run(cases, whenNamed = {}) {
  const args = { names: [] };
  const given = process.argv.slice(2);
  while (given.length > 0) {
    const word = given.shift();
    if (word === '--address') args.address = given.shift();
    else if (word === '--ca') args.ca = given.shift();
    else if (word === '--pid') args.pid = Number(given.shift());
    else args.names.push(word);
  }
  const all = { ...cases, ...whenNamed };
  const unknown = args.names.filter((name) => !(name in all));
  if (unknown.length > 0) throw new Error(`no such case: ${unknown.join(', ')}`);
  const chosen = args.names.length > 0 ? args.names : Object.keys(cases);
  let failed = 0;
  for (const name of chosen) {
    try {
      const action = all[name];
      await action(args);
      console.log(`ok     ${name}`);
    } catch (error) {
      failed++;
      console.log(`FAILED ${name}\n${error.stack}`);
    }
  }
  console.log(`@grpc/grpc-js ${require('@grpc/grpc-js/package.json').version}: ${failed} of ${chosen.length} cases failed`);
  process.exit(failed === 0 ? 0 : 1);
}

module.exports = { assert, connect, deadline, echoProtoRoot, failsWith, grpc, load, readAll, repositoryProtoRoot, run, service, unary };

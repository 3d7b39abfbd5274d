// EventVault's own services as grpc-js sees them: what they do on a healthy node. Errors are in vault_errors.js.
'use strict';

const crypto = require('crypto');
const loader = require('@grpc/proto-loader');
const { assert, connect, deadline, failsWith, grpc, load, readAll, repositoryProtoRoot, run, service, unary } = require('./basics');

// Numbers of 64 bits as BigInt would need a patched long; as text they are exact.
const definition = loader.loadSync(['eventvault/v1/streams.proto', 'eventvault/v1/temporal.proto', 'eventvault/v1/admin.proto'], {
  includeDirs: [repositoryProtoRoot], keepCase: true, longs: String, enums: String, defaults: true, oneofs: true,
});
const { Streams, Temporal, Admin } = grpc.loadPackageDefinition(definition).eventvault.v1;
const ErrorDetail = detailType();

const any = { any: {} };
const noStream = { no_stream: {} };
const exists = { exists: {} };
const version = (number) => ({ version: String(number) });

/** Decodes the trailer of a failed call by the library's own type; nothing but services comes out of the loader as a class. */
function detailType() {
  const protobuf = require('protobufjs');
  const root = new protobuf.Root();
  root.resolvePath = (_, file) => require('path').join(repositoryProtoRoot, file);
  root.loadSync('eventvault/v1/errors.proto', { keepCase: true });
  return root.lookupType('eventvault.v1.ErrorDetail');
}

/** A stream that no other case and no other run has. */
function name(what) {
  return `${what}-${crypto.randomBytes(6).toString('hex')}`;
}

function event(more = {}) {
  return { id: crypto.randomBytes(16), type: 'Tested', data: Buffer.from('{}'), ...more };
}

function events(count) {
  return Array.from({ length: count }, () => event());
}

/** An AppendRequest to several streams, each [stream, expected, events]. */
function several(streams, id = crypto.randomBytes(16)) {
  return { operation_id: id, streams: streams.map(([stream, expected, list]) => ({ stream, expected, events: list })) };
}

function request(stream, expected = any, list = [event()], id = crypto.randomBytes(16)) {
  return several([[stream, expected, list]], id);
}

function vault(a, options) {
  return connect(a, Streams, options);
}

async function call(client, method, message) {
  return (await unary(client, method, message)).answer;
}

function append(client, ...given) {
  return call(client, 'Append', request(...given));
}

function detailOf(error) {
  const trailer = error.metadata.get('eventvault-error-bin');
  assert.strictEqual(trailer.length, 1, `no detail: ${error.code} ${error.details}`);
  return ErrorDetail.toObject(ErrorDetail.decode(trailer[0]), { longs: String, enums: String, defaults: true });
}

/** Awaits what must be refused with a status and one reason; gives the failures of the detail. */
async function refused(code, reason, promise) {
  const { failures } = detailOf(await failsWith(grpc.status[code], promise));
  assert.deepStrictEqual([...new Set(failures.map((f) => f.reason))], [`REASON_${reason}`]);
  assert.ok(failures.every((f) => f.message.length > 0));
  return failures;
}

/** Reads a stream of messages to its end; rejects as a unary call does, with what came before as `messages`. */
async function stream(client, method, message, onMessage) {
  const { messages, status } = await readAll(client[method](message, deadline()), onMessage);
  if (status.code !== grpc.status.OK) throw Object.assign(new Error(status.details), status, { messages });
  return messages;
}

function eventsOf(messages) {
  return messages.flatMap((m) => (m.content === 'events' ? m.events.events : []));
}

/** The head and the events of a read that ends. */
async function read(client, method, message) {
  const messages = await stream(client, method, message);
  assert.strictEqual(messages[0].content, 'head');
  assert.ok(messages.slice(1).every((m) => m.content === 'events' && m.events.events.length > 0));
  return { head: messages[0].head, events: eventsOf(messages) };
}

/** A session: requests go in by send and end, answers come out of next, one by one; `ended` gives the status. */
function session(client) {
  const duplex = client.AppendSession(deadline());
  const results = [];
  let wake = () => {};
  const done = readAll(duplex, (message) => {
    results.push(...message.results);
    wake();
  });
  const self = {
    messages: 0,
    send: (id, message, timeout = 0) => duplex.write({ request_id: String(id), append: message, timeout_ms: timeout }),
    end: () => duplex.end(),
    ended: done.then(({ messages, status }) => {
      self.messages = messages.length;
      self.isOver = true;
      wake();
      if (status.code !== grpc.status.OK) throw Object.assign(new Error(status.details), status);
    }),
    async next() {
      while (results.length === 0) {
        assert.ok(!self.isOver, 'the session ended without another answer');
        await new Promise((resolve) => { wake = resolve; });
      }
      return results.shift();
    },
    async rest() {
      await self.ended;
      return results.splice(0);
    },
  };
  // Looked at by whoever awaits it; until then a refusal is not an unhandled one.
  self.ended.catch(() => { self.isOver = true; wake(); });
  return self;
}

/** Messages of a subscription, one by one. */
async function* messagesOf(subscription) {
  for await (const message of subscription) yield message;
}

function subscribe(client, message) {
  const subscription = client.Subscribe(message, deadline());
  const messages = messagesOf(subscription);
  const next = async () => (await messages.next()).value;
  /** The events of the next message that has any. */
  const live = async () => {
    for (;;) {
      const message = await next();
      if (message.content === 'events') return message.events.events;
    }
  };
  return { cancel: () => subscription.cancel(), next, live };
}

const cases = {
  async every_kind_of_expected(a) {
    const client = vault(a);
    const stream = name('expected');
    const first = await append(client, stream, noStream, events(2));
    assert.strictEqual(Number(first.last_position), Number(first.first_position) + 1);
    assert.strictEqual(first.deduplicated, false);
    assert.deepStrictEqual(first.streams, [{ stream, version: '1' }]);
    assert.strictEqual((await append(client, stream, exists)).streams[0].version, '2');
    assert.strictEqual((await append(client, stream, version(2))).streams[0].version, '3');
    const last = await append(client, stream, any);
    assert.strictEqual(last.streams[0].version, '4');
    assert.ok(BigInt(last.recorded_at) > BigInt(first.recorded_at));
    // Version 0 is the value that proto3 leaves out: it must not be taken for "nothing said".
    const zero = name('zero');
    await append(client, zero, any);
    assert.strictEqual((await append(client, zero, version(0))).streams[0].version, '1');
    const [conflict] = await refused('ABORTED', 'WRONG_EXPECTED_VERSION', append(client, zero, version(0)));
    assert.deepStrictEqual(conflict.version_conflict, { expected: '0', actual: '1' });
  },

  async append_to_several_streams(a) {
    const client = vault(a);
    const [one, two, three] = [name('one'), name('two'), name('three')];
    const answer = await call(client, 'Append', several([[one, noStream, [event({ type: 'A' }), event({ type: 'B' })]], [two, any, [event({ type: 'C' })]]]));
    assert.deepStrictEqual(answer.streams, [{ stream: one, version: '1' }, { stream: two, version: '0' }]);
    const found = await read(client, 'ReadAll', { from: { position: answer.first_position }, until: { position: answer.last_position } });
    assert.deepStrictEqual(found.events.map((e) => [e.stream, e.event.type]), [[one, 'A'], [one, 'B'], [two, 'C']]);
    assert.ok(found.events.every((e) => e.recorded_at === answer.recorded_at));
    // All or nothing; all failed checks together.
    const failures = await refused('ABORTED', 'WRONG_EXPECTED_VERSION', call(client, 'Append', several([[one, version(0), events(1)], [three, noStream, events(1)], [two, noStream, events(1)]])));
    assert.deepStrictEqual(failures.map((f) => [f.stream, f.version_conflict.expected, f.version_conflict.actual]), [[one, '0', '1'], [two, 'no-stream', '0']]);
    await refused('NOT_FOUND', 'STREAM_NOT_FOUND', call(client, 'GetStream', { stream: three }));
    assert.strictEqual((await call(client, 'GetStream', { stream: one })).last_version, '1');
  },

  async a_retry_writes_nothing(a) {
    const client = vault(a);
    const stream = name('retry');
    const once = request(stream, noStream, [event({ metadata: { b: '2', a: '1' } }), event()]);
    const first = await call(client, 'Append', once);
    const again = await call(client, 'Append', once);
    assert.deepStrictEqual(again, { ...first, deduplicated: true });
    const [reused] = await refused('ALREADY_EXISTS', 'OPERATION_ID_REUSED', append(client, stream, any, events(1), once.operation_id));
    assert.strictEqual(reused.first_position, first.first_position);
    assert.strictEqual((await call(client, 'GetStream', { stream })).last_version, '1');
  },

  async requirements_and_conditions(a) {
    const client = vault(a);
    const [one, two, tag] = [name('one'), name('two'), name('tag')];
    const query = { items: [{ types: ['taken'], tags: [tag] }] };
    const taken = await append(client, one, noStream, [event({ type: 'taken', tags: [tag, 'x'] })]);
    const demanding = { ...request(two, noStream), requires: [{ stream: one, expected: version(7) }], conditions: [{ query }] };
    const { failures } = detailOf(await failsWith(grpc.status.ABORTED, call(client, 'Append', demanding)));
    assert.deepStrictEqual(failures.map((f) => f.reason), ['REASON_WRONG_EXPECTED_VERSION', 'REASON_CONDITION_FAILED']);
    assert.deepStrictEqual([failures[0].field, failures[1].index, failures[1].position], ['requires[0].expected', 0, taken.last_position]);
    const reasonable = { ...request(two, noStream), requires: [{ stream: one, expected: version(0) }], conditions: [{ query, after: taken.last_position }] };
    const written = await call(client, 'Append', reasonable);
    assert.strictEqual((await call(client, 'GetAppend', { operation_id: reasonable.operation_id })).first_position, written.first_position);
  },

  async filters_counts_and_the_end_of_streams(a) {
    const client = vault(a);
    const category = crypto.randomBytes(6).toString('hex');
    const own = `${category}-1`;
    const first = Number((await append(client, own, noStream, [event({ type: 'A', tags: ['x'] }), event({ type: 'B' })])).first_position);
    await append(client, `${category}s-1`);
    for (const [filter, places] of [[{ category }, [0, 1]], [{ stream_prefix: category }, [0, 1, 2]], [{ category, query: { items: [{ types: ['A'], tags: ['x'] }] } }, [0]]]) {
      const found = await read(client, 'ReadAll', { filter, consistency: { at_least: String(first) } });
      assert.deepStrictEqual(found.events.map((e) => Number(e.position)), places.map((p) => first + p));
      assert.strictEqual((await call(client, 'CountEvents', { filter })).count, String(places.length));
    }
    const id = () => crypto.randomBytes(16);
    await call(client, 'TruncateStream', { operation_id: id(), stream: own, expected: any, before: '1' });
    const info = await call(client, 'GetStream', { stream: own });
    assert.deepStrictEqual([info.first_version, info.last_version, info.event_count], ['1', '1', '1']);
    await call(client, 'DeleteStream', { operation_id: id(), stream: own, expected: exists });
    await refused('NOT_FOUND', 'STREAM_NOT_FOUND', read(client, 'ReadStream', { stream: own }));
    assert.strictEqual((await append(client, own, noStream)).streams[0].version, '2');
    await call(client, 'DeleteStream', { operation_id: id(), stream: own, expected: any, tombstone: true });
    await refused('FAILED_PRECONDITION', 'STREAM_TOMBSTONED', append(client, own));
  },

  async events_come_back_as_they_were(a) {
    const client = vault(a);
    const stream = name('fields');
    const sent = event({
      type: 'Ünïcode \u{1F608}', data: crypto.randomBytes(10000), content_type: 'application/octet-stream', schema_version: 4294967295,
      tags: ['a', 'b:c'], metadata: { correlationId: 'x', '': 'empty key' }, occurred_at: '-1', _occurred_at: 'occurred_at',
    });
    const bare = { id: Buffer.alloc(16), type: 't' };
    const answer = await append(client, stream, noStream, [sent, bare]);
    const found = await read(client, 'ReadStream', { stream });
    assert.deepStrictEqual(found.events[0].event, sent);
    assert.deepStrictEqual(found.events[1].event, { ...bare, data: Buffer.alloc(0), content_type: '', schema_version: 0, tags: [], metadata: {} });
    found.events.forEach((e, i) => assert.deepStrictEqual(
      [e.stream, e.version, e.position, e.recorded_at], [stream, String(i), String(Number(answer.first_position) + i), answer.recorded_at]));
    assert.strictEqual(found.head.last_version, '1');
  },

  async session_is_pipelined_and_survives_conflicts(a) {
    const client = vault(a);
    const stream = name('session');
    const count = 2000;
    const once = request(stream, noStream);
    const s = session(client);
    s.send(7, once);
    for (let i = 1; i < count; i++) s.send(i, request(stream, i === count / 2 ? noStream : any));
    s.send('18446744073709551615', once);
    s.end();
    const results = await s.rest();
    assert.deepStrictEqual(results.map((r) => r.request_id), ['7', ...Array.from({ length: count - 1 }, (_, i) => String(i + 1)), '18446744073709551615']);
    const conflict = results[count / 2];
    assert.strictEqual(conflict.outcome, 'error');
    assert.strictEqual(conflict.error.code, grpc.status.ABORTED);
    assert.strictEqual(conflict.error.detail.failures[0].version_conflict.actual, String(count / 2 - 1));
    const written = results.filter((r) => r.outcome === 'result').map((r) => r.result);
    assert.deepStrictEqual(written.slice(0, -1).map((r) => Number(r.streams[0].version)), Array.from({ length: count - 1 }, (_, i) => i));
    assert.deepStrictEqual(written[count - 1], { ...written[0], deduplicated: true });
  },

  async session_answers_while_it_is_open(a) {
    const stream = name('open');
    const s = session(vault(a));
    for (let i = 0; i < 20; i++) {
      s.send(i, request(stream, i === 0 ? noStream : version(i - 1)), 20000);
      const answer = await s.next();
      assert.deepStrictEqual([answer.request_id, answer.result.streams[0].version], [String(i), String(i)]);
    }
    // A bad request is a failed check like any other: the session goes on.
    s.send(100, request(''));
    assert.strictEqual((await s.next()).error.detail.failures[0].reason, 'REASON_INVALID_NAME');
    s.send(101, request(stream));
    assert.strictEqual((await s.next()).result.streams[0].version, '20');
    s.end();
    assert.deepStrictEqual(await s.rest(), []);
  },

  async reads_with_every_bound(a) {
    const client = vault(a);
    const stream = name('bounds');
    const written = [];
    for (let i = 0; i < 10; i++) written.push(await append(client, stream));
    const position = written.map((w) => w.first_position);
    const time = written.map((w) => w.recorded_at);
    const backwards = 'DIRECTION_BACKWARDS';
    const versions = async (what = {}) => (await read(client, 'ReadStream', { stream, ...what })).events.map((e) => Number(e.version));
    const positions = async (what) => (await read(client, 'ReadAll', what)).events.map((e) => e.position);
    const all = [...Array(10).keys()];
    const down = [...all].reverse();
    assert.deepStrictEqual(await versions(), all);
    assert.deepStrictEqual(await versions({ direction: backwards }), down);
    assert.deepStrictEqual(await versions({ limit: 3 }), [0, 1, 2]);
    assert.deepStrictEqual(await versions({ limit: 3, direction: backwards }), [9, 8, 7]);
    for (const bound of [(i) => version(i), (i) => ({ position: position[i] }), (i) => ({ time: time[i] })]) {
      assert.deepStrictEqual(await versions({ from: bound(4) }), all.slice(4));
      assert.deepStrictEqual(await versions({ until: bound(4) }), all.slice(0, 5));
      assert.deepStrictEqual(await versions({ from: bound(2), until: bound(5) }), [2, 3, 4, 5]);
      assert.deepStrictEqual(await versions({ from: bound(5), until: bound(2), direction: backwards }), [5, 4, 3, 2]);
      assert.deepStrictEqual(await versions({ from: bound(5), until: bound(2) }), []);
    }
    assert.deepStrictEqual(await versions({ from: { time: String(BigInt(time[3]) + 1n) } }), all.slice(4));
    assert.deepStrictEqual(await versions({ until: { time: String(BigInt(time[3]) - 1n) } }), all.slice(0, 3));
    for (const bound of [(i) => ({ position: position[i] }), (i) => ({ time: time[i] })]) {
      assert.deepStrictEqual(await positions({ from: bound(2), until: bound(5) }), position.slice(2, 6));
      assert.deepStrictEqual(await positions({ from: bound(5), until: bound(2), direction: backwards }), position.slice(2, 6).reverse());
      assert.deepStrictEqual(await positions({ from: bound(2), limit: 4 }), position.slice(2, 6));
    }
    assert.deepStrictEqual(await positions({ limit: 1 }), ['0']);
    assert.deepStrictEqual(await positions({ direction: backwards, limit: 1 }), [position[9]]);
    const most = '18446744073709551615';
    for (const far of [{ version: '9223372036854775808' }, { version: most }, { position: most }, { time: '9223372036854775807' }]) {
      assert.deepStrictEqual(await versions({ from: far }), []);
      assert.deepStrictEqual(await versions({ until: far }), all);
      assert.deepStrictEqual(await versions({ from: far, direction: backwards }), down);
    }
    assert.deepStrictEqual(await versions({ until: { time: '-9223372036854775808' } }), []);
  },

  async subscribe_to_a_stream(a) {
    const client = vault(a);
    const stream = name('wanted');
    const subscription = subscribe(client, { stream });
    const head = await subscription.next();
    assert.strictEqual(head.content, 'head');
    assert.ok(!('last_version' in head.head));
    assert.strictEqual((await subscription.next()).content, 'caught_up');
    await append(client, name('other'));
    const answer = await append(client, stream, any, [event({ type: 'first' }), event({ type: 'second' })]);
    assert.deepStrictEqual((await subscription.live()).map((e) => e.event.type), ['first', 'second']);
    // Idle: told how far it is, which is beyond its own last event.
    await append(client, name('other'));
    for (;;) {
      const message = await subscription.next();
      assert.ok(['progress', 'caught_up'].includes(message.content), message.content);
      if (message.content === 'progress' && Number(message.progress.position) > Number(answer.last_position)) break;
    }
    subscription.cancel();
    await failsWith(grpc.status.CANCELLED, (async () => { for (;;) if (!(await subscription.next())) return; })());
    const middle = subscribe(client, { stream, from: version(1) });
    assert.strictEqual((await middle.next()).head.last_version, '1');
    assert.deepStrictEqual((await middle.live()).map((e) => e.version), ['1']);
    middle.cancel();
  },

  async subscribe_to_all(a) {
    const client = vault(a);
    const stream = name('all');
    const first = await append(client, stream, any, events(500));
    const subscription = subscribe(client, { all: {}, from: { position: first.first_position } });
    const end = subscribe(client, { all: {}, end: {} });
    assert.strictEqual((await subscription.next()).content, 'head');
    assert.strictEqual((await end.next()).content, 'head');
    const seen = [];
    let message;
    do {
      message = await subscription.next();
      seen.push(...eventsOf([message]).map((e) => Number(e.position)));
    } while (message.content !== 'caught_up');
    assert.deepStrictEqual(seen, Array.from({ length: 500 }, (_, i) => Number(first.first_position) + i));
    assert.strictEqual(message.caught_up.position, first.last_position);
    assert.strictEqual((await end.next()).content, 'caught_up');
    const more = [];
    for (let i = 0; i < 50; i++) more.push((await append(client, stream)).first_position);
    for (const one of [subscription, end]) {
      const positions = [];
      while (positions.length < more.length) positions.push(...(await one.live()).map((e) => e.position));
      assert.deepStrictEqual(positions, more);
      one.cancel();
    }
  },

  async streams_are_listed_in_pages(a) {
    const client = vault(a);
    const prefix = `${name('list')}-`;
    const names = ['b', 'a', 'ä', 'a/1', 'Z', '\u{1F608}'].map((n) => prefix + n);
    for (const n of names) await append(client, n);
    names.sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y)));
    const found = [];
    let token = '';
    let pages = 0;
    do {
      const page = await call(client, 'ListStreams', { prefix, page_size: 2, page_token: token });
      found.push(...page.streams);
      token = page.next_page_token;
      pages++;
    } while (token !== '');
    assert.deepStrictEqual(found.map((s) => s.stream), names);
    assert.strictEqual(pages, 3);
    assert.deepStrictEqual(await call(client, 'GetStream', { stream: names[3] }), found[3]);
  },

  async information_and_status(a) {
    const admin = connect(a, Admin);
    const info = await call(admin, 'GetInfo', {});
    assert.strictEqual(info.vault_id.length, 16);
    assert.ok(info.version.length > 0 && Number(info.segment_size_bytes) > 0);
    assert.strictEqual(info.limits.find((l) => l.name === 'stream_name_bytes').allowed, '1024');
    const answer = await append(vault(a), name('status'));
    const status = await call(admin, 'GetStatus', {});
    assert.deepStrictEqual([status.state, status.head, status.head_recorded_at], ['serving', answer.last_position, answer.recorded_at]);
  },

  async health(a) {
    const Health = service(load(repositoryProtoRoot, 'grpc/health/v1/health.proto'), 'grpc.health.v1.Health');
    const client = connect(a, Health);
    for (const what of ['', 'eventvault.v1.Streams', 'eventvault.v1.Temporal', 'eventvault.v1.Admin']) {
      assert.strictEqual((await call(client, 'Check', { service: what })).status, 'SERVING');
      const watch = client.Watch({ service: what }, deadline());
      const result = readAll(watch, () => watch.cancel());
      assert.strictEqual((await result).messages[0].status, 'SERVING');
    }
    await failsWith(grpc.status.NOT_FOUND, call(client, 'Check', { service: 'nobody' }));
  },

  async reflection(a) {
    const Reflection = service(load(repositoryProtoRoot, 'grpc/reflection/v1/reflection.proto'), 'grpc.reflection.v1.ServerReflection');
    const duplex = connect(a, Reflection).ServerReflectionInfo(deadline());
    const result = readAll(duplex);
    duplex.write({ list_services: '*' });
    duplex.write({ file_containing_symbol: 'eventvault.v1.Streams' });
    duplex.end();
    const { messages } = await result;
    const names = messages[0].list_services_response.service.map((s) => s.name);
    ['eventvault.v1.Streams', 'eventvault.v1.Temporal', 'eventvault.v1.Admin', 'grpc.health.v1.Health'].forEach((n) => assert.ok(names.includes(n), names.join()));
    assert.strictEqual(messages[1].file_descriptor_response.file_descriptor_proto.length, 2);
  },
};

module.exports = { Admin, Temporal, any, append, call, cases, detailOf, event, events, eventsOf, exists, name, noStream, read, refused, request, session, several, stream, subscribe, vault, version };

if (require.main === module) run(cases);

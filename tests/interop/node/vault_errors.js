// The errors of requests, queues and disks, as grpc-js sees them: status, reason and details. The cases of the second object need a node in a state of its own.
'use strict';

const { assert, connect, deadline, grpc, run } = require('./basics');
const {
  Admin, any, append, call, cases: healthy, detailOf, event, events, eventsOf, exists, name, noStream, read, refused, request, session, several, stream,
  subscribe, vault, version,
} = require('./vault');

// Field 127 with the value 1: no message of ours has it.
const extra = Buffer.from([0xf8, 0x07, 0x01]);
// The longest wait for a node to come into the state that a case is about.
const patienceMs = 60000;
const twice63 = '9223372036854775808';

const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** Sends bytes as the only request of a call; gives the answer or the messages. */
function raw(client, method, bytes) {
  const { path, responseStream, responseDeserialize } = client.constructor.service[method];
  if (!responseStream) {
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(path, (b) => b, responseDeserialize, bytes, new grpc.Metadata(), deadline(), (error, answer) => (error ? reject(error) : resolve(answer)));
    });
  }

  return stream({ raw: (message, options) => client.makeServerStreamRequest(path, (b) => b, responseDeserialize, message, options) }, 'raw', bytes);
}

function encode(client, method, message) {
  return client.constructor.service[method].requestSerialize(message);
}

function withExtra(client, method, message, bytes = extra) {
  return raw(client, method, Buffer.concat([encode(client, method, message), bytes]));
}

/** An AppendRequest of one stream, taken apart so that any of its messages can have another field. */
function appendWithExtra(client, place) {
  const field = (number, bytes) => {
    const length = [];
    for (let n = bytes.length; ; n >>= 7) {
      if (n < 128) { length.push(n); break; }
      length.push((n & 127) | 128);
    }
    return Buffer.concat([Buffer.from([(number << 3) | 2]), Buffer.from(length), bytes]);
  };
  const more = (here) => (here === place ? extra : Buffer.alloc(0));
  const eventBytes = Buffer.concat([field(1, Buffer.alloc(16, 1)), field(2, Buffer.from('T')), more('event')]);
  const expected = Buffer.concat([field(1, more('any')), more('expected')]);
  const one = Buffer.concat([field(1, Buffer.from('unknown')), field(2, expected), field(3, eventBytes), more('stream')]);
  return raw(client, 'Append', Buffer.concat([field(1, Buffer.alloc(16, 2)), field(2, one), more('request')]));
}

function callsWithAName(client) {
  return [
    ['streams[0].stream', (n) => append(client, n)],
    ['stream', (n) => stream(client, 'ReadStream', { stream: n })],
    ['stream', (n) => call(client, 'GetStream', { stream: n })],
    ['stream', (n) => stream(client, 'Subscribe', { stream: n })],
  ];
}

async function waitForStatus(a, wanted) {
  const admin = connect(a, Admin);
  for (const end = Date.now() + patienceMs; ; await sleep(100)) {
    const status = await call(admin, 'GetStatus', {});
    if (wanted(status)) return;
    assert.ok(Date.now() < end, `the status stayed ${JSON.stringify(status)}`);
  }
}

const cases = {
  async invalid_name(a) {
    const client = vault(a);
    for (const [field, action] of callsWithAName(client)) {
      for (const bad of ['', 'new\nline', 'nul\0', '\x7f', '\u0085']) {
        const [failure] = await refused('INVALID_ARGUMENT', 'INVALID_NAME', action(bad));
        assert.strictEqual(failure.field, field);
        assert.ok(failure.why.length > 0);
      }
    }
    const bytes = encode(client, 'Append', request('ABCD'));
    bytes.fill(0xff, bytes.indexOf('ABCD') + 2, bytes.indexOf('ABCD') + 4);
    await refused('INVALID_ARGUMENT', 'INVALID_NAME', raw(client, 'Append', bytes));
  },

  async reserved_name(a) {
    const [failure] = await refused('INVALID_ARGUMENT', 'RESERVED_NAME', call(vault(a), 'Append', several([[name('own'), any, events(1)], ['$vault', any, events(1)]])));
    assert.deepStrictEqual([failure.field, failure.stream], ['streams[1].stream', '$vault']);
  },

  async invalid_event(a) {
    const client = vault(a);
    const own = name('events');
    const bad = [
      ['id', { type: 'T' }], ['id', event({ id: Buffer.alloc(15) })], ['id', event({ id: Buffer.alloc(17) })], ['type', { id: Buffer.alloc(16) }],
      ['tags[1]', event({ tags: ['a', ''] })], ['tags[2]', event({ tags: ['a', 'b', 'a'] })],
    ];
    for (const [field, one] of bad) {
      const [failure] = await refused('INVALID_ARGUMENT', 'INVALID_EVENT', append(client, own, any, [event(), one]));
      assert.deepStrictEqual([failure.stream, failure.index, failure.field], [own, 1, `streams[0].events[1].${field}`]);
    }
    const bytes = encode(client, 'Append', request(own, any, [event({ type: 'ABCD' })]));
    bytes.fill(0xff, bytes.indexOf('ABCD') + 2, bytes.indexOf('ABCD') + 4);
    await refused('INVALID_ARGUMENT', 'INVALID_EVENT', raw(client, 'Append', bytes));
    await refused('NOT_FOUND', 'STREAM_NOT_FOUND', call(client, 'GetStream', { stream: own }));
  },

  async unknown_field(a) {
    const client = vault(a);
    const own = name('unknown');
    const calls = [
      ['127', () => appendWithExtra(client, 'request')], ['streams[0].127', () => appendWithExtra(client, 'stream')], ['streams[0].expected.127', () => appendWithExtra(client, 'expected')],
      ['streams[0].expected.any.127', () => appendWithExtra(client, 'any')], ['streams[0].events[0].127', () => appendWithExtra(client, 'event')],
      ['127', () => withExtra(client, 'ReadStream', { stream: own })], ['127', () => withExtra(client, 'ReadAll', {})], ['127', () => withExtra(client, 'Subscribe', { all: {} })],
      ['127', () => withExtra(client, 'GetStream', { stream: own })], ['127', () => withExtra(client, 'ListStreams', {})],
      ['127', () => withExtra(connect(a, Admin), 'GetInfo', {})], ['127', () => withExtra(connect(a, Admin), 'GetStatus', {})],
      // What later versions serve is refused by its name, never ignored.
      ['checkpoint', () => withExtra(client, 'Append', request(own), Buffer.from([(5 << 3) | 2, 0]))],
    ];
    for (const [field, action] of calls) {
      assert.strictEqual((await refused('INVALID_ARGUMENT', 'UNKNOWN_FIELD', action()))[0].field, field);
    }
    await refused('NOT_FOUND', 'STREAM_NOT_FOUND', call(client, 'GetStream', { stream: own }));
  },

  async limit_exceeded(a) {
    const client = vault(a, { 'grpc.max_send_message_length': -1 });
    const own = name('limits');
    const { limits } = await call(connect(a, Admin), 'GetInfo', {});
    const most = Object.fromEntries(limits.map((l) => [l.name, Number(l.allowed)]));
    const over = async (limit, value, result, allowedToo) => {
      const [failure] = await refused('INVALID_ARGUMENT', 'LIMIT_EXCEEDED', result);
      const { setting } = limits.find((l) => l.name === limit);
      assert.deepStrictEqual(failure.limit, { limit, value: String(value), allowed: String(most[limit]), setting });
      if (allowedToo) await allowedToo();
    };
    const text = (length) => 'x'.repeat(length);
    // The limit counts the encoded event: 18 bytes of id, 8 of type, and tag and length of the data.
    const sized = (size) => event({ data: Buffer.alloc(size - 30) });
    await over('event_bytes', most.event_bytes + 1, append(client, own, any, [sized(most.event_bytes + 1)]), () => append(client, own, any, [sized(most.event_bytes)]));
    await over('event_tags', 17, append(client, own, any, [event({ tags: [...Array(17).keys()].map(String) })]), () => append(client, own, any, [event({ tags: [...Array(16).keys()].map(String) })]));
    await over('tag_bytes', 129, append(client, own, any, [event({ tags: [text(129)] })]), () => append(client, own, any, [event({ tags: [text(128)] })]));
    await over('type_bytes', 257, append(client, own, any, [event({ type: text(257) })]), () => append(client, own, any, [event({ type: text(256) })]));
    await over('content_type_bytes', 257, append(client, own, any, [event({ content_type: text(257) })]));
    const metadata = (size) => [event({ metadata: { key: '', k: text(size - 4) } })];
    await over('metadata_bytes', most.metadata_bytes + 1, append(client, own, any, metadata(most.metadata_bytes + 1)), () => append(client, own, any, metadata(most.metadata_bytes)));
    const entries = most.metadata_entries + 1;
    await over('metadata_entries', entries, append(client, own, any, [event({ metadata: Object.fromEntries([...Array(entries).keys()].map((i) => [i, ''])) })]));
    for (const [, action] of callsWithAName(client)) {
      await over('stream_name_bytes', 10240, action(text(10240)));
      await over('stream_name_bytes', 1025, action(`${'é'.repeat(512)}x`));
    }
    await over('append_events', most.append_events + 1, append(client, own, any, events(most.append_events + 1)), () => append(client, own, any, events(most.append_events)));
    const full = Array.from({ length: Math.floor(most.append_bytes / most.event_bytes) + 1 }, () => sized(most.event_bytes));
    let [failure] = await refused('INVALID_ARGUMENT', 'LIMIT_EXCEEDED', append(client, own, any, full));
    assert.strictEqual(failure.limit.limit, 'append_bytes');
    [failure] = await refused('INVALID_ARGUMENT', 'LIMIT_EXCEEDED', append(client, own, any, [event({ data: Buffer.alloc(most.message_bytes) })]));
    assert.strictEqual(failure.limit.limit, 'message_bytes');
    await over('list_page_streams', 1001, call(client, 'ListStreams', { page_size: 1001 }), () => call(client, 'ListStreams', { page_size: 1000 }));
  },

  async invalid_request(a) {
    const client = vault(a);
    const own = name('request');
    const calls = [
      ['operation_id', () => append(client, own, any, events(1), Buffer.alloc(0))], ['operation_id', () => append(client, own, any, events(1), Buffer.alloc(15))],
      ['streams', () => call(client, 'Append', several([]))], ['streams[0].events', () => append(client, own, any, [])],
      ['streams[0].expected', () => append(client, own, null)], ['streams[0].expected', () => append(client, own, {})],
      ['streams[0].expected.version', () => append(client, own, version(twice63))], ['streams[0].expected.version', () => append(client, own, version('18446744073709551615'))],
      ['streams[1].stream', () => call(client, 'Append', several([[own, any, events(1)], [own, any, events(1)]]))],
      ['from', () => stream(client, 'ReadStream', { stream: own, from: {} })], ['until', () => stream(client, 'ReadAll', { until: {} })],
      ['from.version', () => stream(client, 'ReadAll', { from: version(0) })], ['from.version', () => stream(client, 'Subscribe', { all: {}, from: version(0) })],
      ['source', () => stream(client, 'Subscribe', {})], ['direction', () => stream(client, 'ReadAll', { direction: 7 })],
      ['page_token', () => call(client, 'ListStreams', { page_token: '?' })], ['', () => raw(client, 'Append', Buffer.from([0x0a, 0xff]))],
    ];
    for (const [field, action] of calls) {
      const [failure] = await refused('INVALID_ARGUMENT', 'INVALID_REQUEST', action());
      assert.strictEqual(failure.field, field);
    }
    const s = session(client);
    s.send(5, null);
    assert.strictEqual((await s.next()).request_id, '5');
    await refused('INVALID_ARGUMENT', 'INVALID_REQUEST', s.ended);
  },

  async stream_not_found(a) {
    const client = vault(a);
    const nothing = name('nothing');
    for (const action of [() => call(client, 'GetStream', { stream: nothing }), () => stream(client, 'ReadStream', { stream: nothing })]) {
      assert.strictEqual((await refused('NOT_FOUND', 'STREAM_NOT_FOUND', action()))[0].stream, nothing);
    }
  },

  async wrong_expected_version(a) {
    const client = vault(a);
    const own = name('wrong');
    for (const [expected, text] of [[version(0), '0'], [exists, 'exists'], [version('9223372036854775807'), '9223372036854775807']]) {
      const [failure] = await refused('ABORTED', 'WRONG_EXPECTED_VERSION', append(client, own, expected));
      assert.strictEqual(failure.version_conflict.expected, text);
      assert.ok(!('actual' in failure.version_conflict) || failure.version_conflict.actual === null, JSON.stringify(failure));
    }
    await append(client, own, noStream);
    const [failure] = await refused('ABORTED', 'WRONG_EXPECTED_VERSION', append(client, own, noStream));
    assert.deepStrictEqual([failure.stream, failure.version_conflict], [own, { expected: 'no-stream', actual: '0' }]);
  },

  async operation_id_reused(a) {
    await healthy.a_retry_writes_nothing(a);
    const own = name('reused');
    const s = session(vault(a));
    const id = event().id;
    s.send(0, request(own, any, events(1), id));
    s.send(1, request(own, any, events(1), id));
    s.send(2, request(own));
    s.end();
    const [first, second, third] = await s.rest();
    assert.deepStrictEqual([second.error.code, second.error.detail.failures[0].reason], [grpc.status.ALREADY_EXISTS, 'REASON_OPERATION_ID_REUSED']);
    assert.strictEqual(second.error.detail.failures[0].first_position, first.result.first_position);
    assert.strictEqual(third.result.streams[0].version, '1');
  },
};

const whenNamed = {
  // Against a node whose flushes take 100 ms and whose queue holds 4 appends.

  async overloaded(a) {
    const client = vault(a);
    const own = name('overloaded');
    let done = 0;
    let refusals = 0;
    await Promise.all(Array.from({ length: 200 }, () => append(client, own).then(() => { done++; }, (error) => {
      const [failure] = detailOf(error).failures;
      assert.deepStrictEqual([error.code, failure.reason], [grpc.status.RESOURCE_EXHAUSTED, 'REASON_OVERLOADED']);
      assert.ok(failure.retry_after_ms > 0);
      refusals++;
    })));
    assert.ok(done > 0 && refusals > 0, `${done} done, ${refusals} refused`);
    assert.strictEqual((await call(client, 'GetStream', { stream: own })).last_version, String(done - 1));
  },

  /** A session ends with the append that is refused; nothing behind it is written. */
  async overloaded_session(a) {
    const client = vault(a);
    const own = name('overloaded');
    const s = session(client);
    let done = 0;
    let refusal;
    const answers = (async () => {
      while (!refusal) {
        const result = await s.next();
        assert.strictEqual(result.request_id, String(done));
        if (result.outcome === 'result') done++;
        else refusal = result.error;
      }
    })();
    answers.catch(() => {});
    // One burst is being flushed, another one gets in because the queue is empty, however large it is; the third is refused.
    let sent = 0;
    for (const end = Date.now() + patienceMs; !refusal && Date.now() < end; await sleep(20)) {
      for (let i = 0; i < 20; i++) s.send(sent++, request(own));
    }
    assert.ok(refusal, 'the session was never refused');
    await answers;
    assert.strictEqual(refusal.detail.failures[0].reason, 'REASON_OVERLOADED');
    await refused('RESOURCE_EXHAUSTED', 'OVERLOADED', s.ended);
    if (done > 0) assert.strictEqual((await call(client, 'GetStream', { stream: own })).last_version, String(done - 1));
    else await refused('NOT_FOUND', 'STREAM_NOT_FOUND', call(client, 'GetStream', { stream: own }));
  },

  /** The request that is out of time is definitely not written, nor is any behind it, and the session ends. */
  async timed_out_in_queue(a) {
    const client = vault(a);
    const own = name('timeout');
    const s = session(client);
    // The first is being flushed and the second waits behind it while the third's millisecond goes by.
    for (let i = 0; i < 2; i++) {
      s.send(i, request(own), 20000);
      await sleep(20);
    }
    s.send(2, request(own), 1);
    s.send(3, request(own));
    const got = [await s.next(), await s.next(), await s.next()];
    assert.deepStrictEqual(got.map((r) => r.outcome), ['result', 'result', 'error']);
    assert.deepStrictEqual([got[2].error.code, got[2].error.detail.failures[0].reason], [grpc.status.DEADLINE_EXCEEDED, 'REASON_TIMED_OUT_IN_QUEUE']);
    await refused('DEADLINE_EXCEEDED', 'TIMED_OUT_IN_QUEUE', s.ended);
    assert.strictEqual((await call(client, 'GetStream', { stream: own })).last_version, '1');
  },

  async answers_share_messages(a) {
    const own = name('shared');
    const s = session(vault(a));
    for (let i = 0; i < 4; i++) s.send(i, request(own));
    s.end();
    assert.deepStrictEqual((await s.rest()).map((r) => r.request_id), ['0', '1', '2', '3']);
    assert.ok(s.messages < 4, 'Every answer had a message of its own.');
  },

  // Each against a node of its own.

  /** SIGTERM while a session and subscriptions are open: all end with DRAINING, and what was answered is there. */
  async draining(a) {
    const client = vault(a);
    const own = name('draining');
    const s = session(client);
    s.send(1, request(own));
    assert.strictEqual((await s.next()).result.streams[0].version, '0');
    const subscriptions = [subscribe(client, { all: {} }), subscribe(client, { stream: name('none') })];
    for (const one of subscriptions) assert.strictEqual((await one.next()).content, 'head');
    const ends = subscriptions.map((one) => (async () => { while (await one.next()); })());
    process.kill(a.pid, 'SIGTERM');
    await Promise.all([s.ended, ...ends].map((end) => refused('UNAVAILABLE', 'DRAINING', end)));
  },

  async store_full(a) {
    const client = vault(a);
    const own = name('full');
    let written = 0;
    let refusal;
    while (!refusal && written < 10000) {
      try {
        await append(client, own, any, [event({ data: Buffer.alloc(8000) })]);
        written++;
      } catch (error) {
        refusal = error;
      }
    }
    await refused('RESOURCE_EXHAUSTED', 'STORE_FULL', Promise.reject(refusal));
    const s = session(client);
    s.send(1, request(own, any, [event({ data: Buffer.alloc(8000) })]));
    assert.strictEqual((await s.next()).error.detail.failures[0].reason, 'REASON_STORE_FULL');
    await refused('RESOURCE_EXHAUSTED', 'STORE_FULL', s.ended);
    // Reads go on.
    assert.strictEqual((await read(client, 'ReadStream', { stream: own })).events.length, written);
    await waitForStatus(a, (status) => status.state === 'full');
  },

  /** The history that is damaged afterwards, and whose damage the next case meets. */
  async fill_segments(a) {
    const client = vault(a);
    for (let i = 0; i < 60; i++) await append(client, `damaged-${i % 3}`, any, [event({ data: Buffer.from(String(i).padEnd(50000)) })]);
    // Damage in a segment that is not sealed would be met by the start.
    await waitForStatus(a, (status) => status.segments_sealed >= 2);
  },

  async damaged(a) {
    const client = vault(a);
    const ordinal = (e) => Number(e.event.data.toString());
    const counts = [];
    for (const [method, message] of [['ReadAll', {}], ['Subscribe', { all: {} }]]) {
      const error = await stream(client, method, message).catch((e) => e);
      const [{ damage }] = await refused('DATA_LOSS', 'DAMAGED', Promise.reject(error));
      assert.ok(damage.segment.endsWith('.seg') && Number(damage.offset) > 0 && damage.expected.length > 0, JSON.stringify(damage));
      // All before the damage were delivered, and are what was written.
      const found = eventsOf(error.messages);
      assert.ok(found.length > 0 && found.length < 60);
      found.forEach((e, i) => assert.deepStrictEqual([Number(e.position), ordinal(e)], [i, i]));
      counts.push(found.length);
    }
    assert.strictEqual(counts[0], counts[1]);
    // From behind the damage reads are fine, and so are appends.
    const after = await read(client, 'ReadAll', { from: { position: String(counts[0] + 1) } });
    assert.deepStrictEqual(after.events.map(ordinal), Array.from({ length: 59 - counts[0] }, (_, i) => counts[0] + 1 + i));
    await append(client, 'damaged-0');
  },

  /** The node's disk fails under the appends. */
  async outcome_unknown(a) {
    const client = vault(a);
    const own = name('unknown');
    // Many at once, so that some are always on their way to the disk. Those that come too late are told that they were not
    // written, or find no server any more.
    const told = [];
    const work = async (stream) => {
      for (let i = 0; i < 10000; i++) await append(client, stream);
    };
    await Promise.all(Array.from({ length: 16 }, (_, i) => work(own + i).catch((error) => told.push(error))));
    const unknown = told.filter((error) => error.metadata.get('eventvault-error-bin').length > 0 && /OUTCOME_UNKNOWN/.test(JSON.stringify(detailOf(error))));
    if (told.length !== 16 || unknown.length === 0) throw new Error(`none of ${told.length} failed appends was told that its outcome is unknown: ${told[0]}`);
  },
};

run(cases, whenNamed);

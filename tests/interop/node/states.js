// States as of any moment as grpc-js sees them: every call of the service Temporal, and every error that one healthy node can raise there.
// The node's limits are small: states of 64 KiB, folds of 1,024 events.
'use strict';

const crypto = require('crypto');
const { assert, connect, run } = require('./basics');
const { Temporal, any, append, call, event, events, name, noStream, refused, stream, vault } = require('./vault');

const sum = { inline: { slots: 'n = SUM(data.n)' } };
const id = () => crypto.randomBytes(16);
const temporal = (a) => connect(a, Temporal);
const state = (a, of, asOf, reducer = sum, more = {}) => call(temporal(a), 'GetState', { stream: of, as_of: asOf, reducer, ...more });
const json = async (...given) => (await state(...given)).json.toString();
const define = (a, reducer, slots, more = {}) => call(temporal(a), 'DefineReducer', { operation_id: id(), name: reducer, definition: { slots }, ...more });
const truncate = (a, of, before) => call(vault(a), 'TruncateStream', { operation_id: id(), stream: of, expected: any, before: String(before) });
const remove = async (a, of, tombstone) => (await call(vault(a), 'DeleteStream', { operation_id: id(), stream: of, expected: any, tombstone })).first_position;

async function numbers(a, of, ...values) {
  const answers = [];
  for (const n of values) answers.push(await append(vault(a), of, any, [event({ data: Buffer.from(`{"n":${n}}`) })]));
  return answers;
}

const cases = {
  async every_cut(a) {
    const of = name('cut');
    const [first, second] = await numbers(a, of, 1, 2, 3);
    const told = await state(a, of);
    assert.deepStrictEqual([told.json.toString(), told.version, told.exists], ['{"n":6}', '2', true]);
    assert.deepStrictEqual(told.state_hash, crypto.createHash('sha256').update(told.json).digest());
    // Version 0 is the value that proto3 leaves out: it must not be taken for "nothing said".
    assert.strictEqual(await json(a, of, { version: '0' }), '{"n":1}');
    const cuts = [{ version: '1' }, { position: second.last_position }, { time: second.recorded_at }, { before_time: String(BigInt(second.recorded_at) + 1n) }];
    for (const cut of cuts) {
      const then = await state(a, of, cut);
      assert.deepStrictEqual([then.json.toString(), then.cut.position], ['{"n":3}', second.last_position]);
      const again = await state(a, of, { token: then.token });
      assert.deepStrictEqual([again.json, again.state_hash, again.token], [then.json, then.state_hash, then.token]);
    }
    assert.strictEqual((await state(a, of, { before_time: first.recorded_at })).exists, false);
    const cut = await call(temporal(a), 'ResolveTime', { time: second.recorded_at });
    assert.strictEqual(cut.position, second.last_position);
  },

  async many_states(a) {
    const category = crypto.randomBytes(6).toString('hex');
    for (const i of [2, 1, 0]) await numbers(a, `${category}-${i}`, i);
    const messages = await stream(temporal(a), 'GetStates', { category, reducer: sum });
    assert.strictEqual(messages[0].content, 'cut');
    assert.deepStrictEqual(messages.slice(1).map((m) => [m.state.stream, m.state.json.toString()]), [0, 1, 2].map((i) => [`${category}-${i}`, `{"n":${i}}`]));
    const listed = await stream(temporal(a), 'GetStates', { streams: [`${category}-1`, name('none')], reducer: sum });
    assert.deepStrictEqual([listed[1].content, listed[2].failure.error.detail.failures[0].reason], ['state', 'REASON_STREAM_NOT_FOUND']);
  },

  async histories(a) {
    const of = name('history');
    await numbers(a, of, 1, 0, 2);
    const steps = await stream(temporal(a), 'GetStateHistory', { stream: of, reducer: sum, each_change: {} });
    assert.deepStrictEqual(steps.slice(1).map((m) => [m.step.state.version, m.step.state.json.toString()]), [['0', '{"n":1}'], ['2', '{"n":3}']]);
  },

  async folds_by_clients(a) {
    const of = name('fold');
    for (let i = 0; i < 2; i++) await append(vault(a), of, any, events(1000));
    const [head, ...pages] = await stream(temporal(a), 'ReadForFold', { stream: of, fold: 'f 1' });
    assert.deepStrictEqual([head.head.exists, head.head.last_version], [true, '1999']);
    assert.strictEqual(pages.flatMap((m) => m.events.events).length, 2000);
    const put = await call(temporal(a), 'PutFoldSnapshot', { stream: of, fold: 'f 1', first_version: '0', version: '1500', state: Buffer.from('kept') });
    assert.strictEqual(put.kept, true);
    const [behind, page] = await stream(temporal(a), 'ReadForFold', { stream: of, fold: 'f 1' });
    assert.deepStrictEqual([behind.head.kept_state.toString(), behind.head.kept_version, page.events.events[0].version], ['kept', '1500', '1501']);
  },

  async named_reducers(a) {
    const [reducer, once] = [`r${crypto.randomBytes(6).toString('hex')}`, id()];
    const first = await define(a, reducer, 'n = SUM(data.n)', { operation_id: once, expected_version: 0 });
    assert.deepStrictEqual([first.changed, first.reducer.version], [true, 1]);
    assert.strictEqual((await define(a, reducer, 'n = COUNT(*)')).reducer.version, 2);
    assert.deepStrictEqual(await define(a, reducer, 'n = SUM(data.n)', { operation_id: once, expected_version: 0 }), first);
    assert.deepStrictEqual(await call(temporal(a), 'GetReducer', { name: reducer, version: 1 }), first.reducer);
    assert.ok((await call(temporal(a), 'ListReducers', {})).reducers.some((r) => r.name === reducer));
    const of = name('named');
    await numbers(a, of, 5);
    assert.strictEqual(await json(a, of, undefined, { name: reducer }), '{"n":1}');
    const [conflict] = await refused('ABORTED', 'DEFINITION_CONFLICT', define(a, reducer, 'n = MAX(data.n)', { expected_version: 1 }));
    assert.strictEqual(conflict.version, '2');
    await refused('NOT_FOUND', 'REDUCER_NOT_FOUND', state(a, of, undefined, { name: reducer, version: 3 }));
    const [bad] = await refused('INVALID_ARGUMENT', 'BAD_REDUCER', define(a, reducer, 'n = NO(1)'));
    assert.deepStrictEqual([bad.field, bad.text_offset], ['definition.slots', 4]);
  },

  async anchors(a) {
    const [category, reducer] = [crypto.randomBytes(6).toString('hex'), `r${crypto.randomBytes(6).toString('hex')}`];
    await define(a, reducer, 'n = SUM(data.n)', { categories: [category] });
    const of = `${category}-1`;
    await numbers(a, of, 1, 2, 3);
    const before = await state(a, of, undefined, { name: reducer });
    await truncate(a, of, 2);
    const after = await state(a, of, { token: before.token }, { name: reducer });
    assert.deepStrictEqual([after.json, after.state_hash, after.token], [before.json, before.state_hash, before.token]);
    const [gone] = await refused('OUT_OF_RANGE', 'HISTORY_TRUNCATED', state(a, of, { version: '0' }, { name: reducer }));
    assert.strictEqual(gone.earliest.version, '1');
  },

  async not_reached(a) {
    const of = name('reach');
    await numbers(a, of, 1);
    const [version] = await refused('OUT_OF_RANGE', 'VERSION_NOT_REACHED', state(a, of, { version: '1' }));
    assert.strictEqual(version.version, '0');
    await refused('OUT_OF_RANGE', 'POSITION_NOT_REACHED', state(a, of, { position: String(2n ** 62n) }));
    const [future] = await refused('FAILED_PRECONDITION', 'AS_OF_IN_FUTURE', state(a, of, { time: String(2n ** 62n) }));
    assert.ok(Number(future.closed_time) > 0);
  },

  async what_is_gone(a) {
    const of = name('gone');
    await numbers(a, of, 1, 2, 4);
    await truncate(a, of, 1);
    await refused('FAILED_PRECONDITION', 'INCOMPLETE_HISTORY', state(a, of));
    const partial = await state(a, of, undefined, sum, { allow_partial: true });
    assert.deepStrictEqual([partial.json.toString(), partial.partial_from_version], ['{"n":6}', '1']);
    const at = await remove(a, of, false);
    const deleted = await state(a, of, { position: at });
    assert.deepStrictEqual([deleted.exists, deleted.deleted], [false, true]);
    await remove(a, of, true);
    await refused('FAILED_PRECONDITION', 'STREAM_TOMBSTONED', state(a, of, { position: at }));
    await refused('NOT_FOUND', 'STREAM_NOT_FOUND', state(a, name('none')));
  },

  async too_much(a) {
    const [large, long] = [name('large'), name('long')];
    await append(vault(a), large, noStream, [event({ data: Buffer.from(`{"f":"${'x'.repeat(66000)}"}`) })]);
    const [size] = await refused('RESOURCE_EXHAUSTED', 'STATE_TOO_LARGE', state(a, large, undefined, undefined, { reducer: null }));
    assert.strictEqual(size.limit.limit, 'state_bytes');
    for (let i = 0; i < 2; i++) await append(vault(a), long, any, events(1000));
    const [{ limit }] = await refused('RESOURCE_EXHAUSTED', 'SCAN_LIMIT', state(a, long));
    assert.deepStrictEqual([limit.limit, limit.value, limit.allowed], ['fold_events', '2000', '1024']);
  },

  async invalid(a) {
    const of = name('invalid');
    await numbers(a, of, 1);
    const { token } = await state(a, of);
    token[4] ^= 1;
    const [failure] = await refused('INVALID_ARGUMENT', 'INVALID_REQUEST', state(a, of, { token }));
    assert.strictEqual(failure.field, 'as_of.token');
  },
};

if (require.main === module) run(cases);

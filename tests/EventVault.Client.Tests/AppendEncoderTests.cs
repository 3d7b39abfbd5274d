using System.Text;
using EventVault.Client.Tests.Support;
using Google.Protobuf;

namespace EventVault.Client.Tests;

/// <summary>The encoder writes field numbers by hand; the generated messages are what it is held against.</summary>
public sealed class AppendEncoderTests
{
    [Fact]
    public void Writes_what_the_generated_messages_write()
    {
        const int Seed = 20261121;
        var random = new Random(Seed);
        for (int run = 0; run < 2_000; run++)
        {
            StreamAppend[] streams = RandomStreams(random);
            AppendOptions? options = run % 2 == 0 ? null : RandomOptions(random);
            var operationId = Guid.CreateVersion7();

            int size = AppendEncoder.Measure(streams, VaultLimits.Defaults, options);
            byte[] bytes = new byte[size];
            AppendEncoder.Write(operationId, streams, bytes, options);

            Protocol.AppendRequest parsed = Protocol.AppendRequest.Parser.ParseFrom(bytes);
            Protocol.AppendRequest expected = Expected(operationId, streams);
            expected.Requires.AddRange(options?.Requires.Select(r => new Protocol.StreamRequirement { Stream = r.Stream, Expected = r.Expected.ToMessage() }) ?? []);
            expected.Conditions.AddRange(options?.Conditions.Select(Expected) ?? []);
            Assert.True(expected.Equals(parsed), $"seed {Seed}, run {run}");

            // The messages' own Equals takes an absent position for 0.
            Assert.Equal(expected.Conditions.Select(c => c.HasAfter), parsed.Conditions.Select(c => c.HasAfter));

            // Map entries have no order, and may or may not spell out an empty value.
            if (streams.All(s => s.Events.All(e => e.Metadata.Count == 0)))
            {
                Assert.Equal(parsed.ToByteArray(), bytes);
            }
        }
    }

    [Fact]
    public void A_session_request_carries_request_id_append_and_the_time_left()
    {
        StreamAppend[] streams = [new("s", ExpectedVersion.Exact(0), [Some.Event()])];
        int size = AppendEncoder.Measure(streams, VaultLimits.Defaults);
        foreach (ulong requestId in new ulong[] { 1, 127, 128, 300_000, ulong.MaxValue })
        {
            var append = new PendingAppend(Guid.CreateVersion7(), streams, size, TimeSpan.FromSeconds(10)) { RequestId = requestId };
            append.Encode();
            long now = append.TimeoutAt - 1234;
            Protocol.AppendSessionRequest parsed = Protocol.AppendSessionRequest.Parser.ParseFrom(append.Frame(now, null));
            Assert.Equal(requestId, parsed.RequestId);
            Assert.Equal(1234u, parsed.TimeoutMs);
            Assert.Equal(Expected(append.OperationId, streams), parsed.Append);

            // A resend is the same request with less time left.
            Assert.Equal(34u, Protocol.AppendSessionRequest.Parser.ParseFrom(append.Frame(now + 1200, null)).TimeoutMs);
            append.Release();
        }
    }

    [Theory]
    [InlineData(null)]
    [InlineData(0ul)]
    [InlineData(300ul)]
    [InlineData((ulong)long.MaxValue - 1)]
    public void A_repeat_carries_the_head_that_was_seen_before_the_first_attempt(ulong? position)
    {
        StreamAppend[] streams = [new("s", ExpectedVersion.Any, [Some.Event()])];
        int size = AppendEncoder.Measure(streams, VaultLimits.Defaults);
        var append = new PendingAppend(Guid.CreateVersion7(), streams, size, TimeSpan.FromSeconds(10)) { RequestId = 7 };
        append.Encode();
        Assert.Null(Protocol.AppendSessionRequest.Parser.ParseFrom(append.Frame(append.TimeoutAt - 5, new SeenHead(position))).Append.AttemptedAfter);
        append.MayBeWritten = true;

        // What has been seen since does not count.
        var repeat = Protocol.AppendSessionRequest.Parser.ParseFrom(append.Frame(append.TimeoutAt - 4, new SeenHead(999)));
        Assert.Equal((position is not null, position ?? 0), (repeat.Append.AttemptedAfter.HasPosition, repeat.Append.AttemptedAfter.Position));
        Assert.Equal((7ul, 4u), (repeat.RequestId, repeat.TimeoutMs));
        repeat.Append.AttemptedAfter = null;
        Assert.Equal(Expected(append.OperationId, streams), repeat.Append);
        append.Release();
    }

    [Fact]
    public void Options_without_checks_cost_an_append_nothing()
    {
        StreamAppend[] streams = [new("s", ExpectedVersion.Any, [Some.Event()])];
        var options = new AppendOptions { OperationId = Guid.NewGuid() };
        byte[] bytes = new byte[AppendEncoder.Measure(streams, VaultLimits.Defaults, options)];
        AppendEncoder.Write(Guid.NewGuid(), streams, bytes, options);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1_000; i++)
        {
            AppendEncoder.Measure(streams, VaultLimits.Defaults, options);
            AppendEncoder.Write(default, streams, bytes, options);
        }

        // Less than one byte an append: what the test's own machinery may allocate.
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 999);
    }

    [Fact]
    public void Version_0_is_written_and_differs_from_any()
    {
        StreamAppend[] streams = [new("s", ExpectedVersion.Exact(0), [Some.Event()])];
        byte[] bytes = new byte[AppendEncoder.Measure(streams, VaultLimits.Defaults)];
        AppendEncoder.Write(Guid.NewGuid(), streams, bytes);
        Protocol.ExpectedVersion expected = Protocol.AppendRequest.Parser.ParseFrom(bytes).Streams[0].Expected;
        Assert.Equal(Protocol.ExpectedVersion.ExpectedOneofCase.Version, expected.ExpectedCase);
        Assert.Equal(0ul, expected.Version);
    }

    [Fact]
    public void Answers_are_read_as_the_generated_messages_write_them()
    {
        var random = new Random(7);
        for (int run = 0; run < 500; run++)
        {
            int count = random.Next(1, 4);
            var response = new Protocol.AppendResponse
            {
                FirstPosition = (ulong)random.NextInt64() * (ulong)random.Next(2),
                LastPosition = (ulong)random.NextInt64(),
                RecordedAt = random.NextInt64(DateTimeOffset.MaxValue.Ticks - DateTimeOffset.UnixEpoch.Ticks),
                Deduplicated = random.Next(2) == 0,
            };
            var streams = new StreamAppend[count];
            for (int i = 0; i < count; i++)
            {
                streams[i] = new StreamAppend($"s-{i}", ExpectedVersion.Any, [Some.Event()]);
                response.Streams.Add(new Protocol.StreamVersion { Stream = $"s-{i}", Version = (ulong)random.Next(3) });
            }

            var message = new Protocol.AppendSessionResult { RequestId = (ulong)random.Next(3), Result = response };
            Answer answer = AnswerReader.Read(message.ToByteArray());
            Assert.Equal(message.RequestId, answer.RequestId);
            AppendResult result = AnswerReader.ReadResult(answer.Result, streams);
            Assert.Equal(response.FirstPosition, result.FirstPosition);
            Assert.Equal(response.LastPosition, result.LastPosition);
            Assert.Equal(response.RecordedAt, VaultTime.ToTicks(result.RecordedAt));
            Assert.Equal(response.Deduplicated, result.Deduplicated);
            Assert.Equal(response.Streams.Select(s => new StreamVersion(s.Stream, s.Version)), result.Streams);
            Assert.Equal(response.Streams[0].Version, result.LastVersion);
        }
    }

    [Fact]
    public void Malformed_answers_are_protocol_violations_at_every_cut_and_flipped_byte()
    {
        StreamAppend[] streams = [new("s", ExpectedVersion.Any, [Some.Event()])];
        byte[] good = new Protocol.AppendSessionResult
        {
            RequestId = 300,
            Result = new Protocol.AppendResponse { FirstPosition = 5, LastPosition = 5, RecordedAt = 99, Streams = { new Protocol.StreamVersion { Stream = "s", Version = 4 } } },
        }.ToByteArray();
        var random = new Random(3);
        for (int run = 0; run < 5_000; run++)
        {
            byte[] bad = good[..random.Next(good.Length + 1)];
            if (bad.Length > 0)
            {
                bad[random.Next(bad.Length)] = (byte)random.Next(256);
            }

            try
            {
                Answer answer = AnswerReader.Read(bad);
                if (answer.HasResult)
                {
                    AnswerReader.ReadResult(answer.Result, streams);
                }
                else
                {
                    AnswerReader.ReadError(answer.Error);
                }
            }
            catch (VaultException e)
            {
                Assert.Equal(VaultErrorCode.ProtocolViolation, e.Code);
            }
        }
    }

    [Fact]
    public void Ids_are_version_7_unique_and_ordered_by_time()
    {
        var seen = new HashSet<Guid>();
        long before = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
        for (int i = 0; i < 10_000; i++)
        {
            Guid id = EventId.New();
            Assert.True(seen.Add(id));
            Assert.Equal(7, id.Version);
            Assert.InRange(id.Variant, 8, 11);
            byte[] bytes = id.ToByteArray(bigEndian: true);
            long time = (long)(System.Buffers.Binary.BinaryPrimitives.ReadUInt64BigEndian(bytes) >> 16);
            Assert.InRange(time, before, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds());
        }
    }

    private static StreamAppend[] RandomStreams(Random random)
    {
        var streams = new StreamAppend[random.Next(1, 4)];
        for (int i = 0; i < streams.Length; i++)
        {
            ExpectedVersion expected = random.Next(4) switch
            {
                0 => ExpectedVersion.Any,
                1 => ExpectedVersion.NoStream,
                2 => ExpectedVersion.Exists,
                _ => ExpectedVersion.Exact((ulong)random.Next(2) * (ulong)random.NextInt64()),
            };
            var events = new EventData[random.Next(1, 5)];
            for (int e = 0; e < events.Length; e++)
            {
                events[e] = RandomEvent(random);
            }

            streams[i] = new StreamAppend($"{i}-{Text(random, 200)}", expected, events);
        }

        return streams;
    }

    private static AppendOptions RandomOptions(Random random)
    {
        string[] Texts(int from, int max) => [.. Enumerable.Range(0, random.Next(from, max)).Select(i => $"{i}{Text(random, 30)}")];
        QueryItem Item() => random.Next(2) == 0
            ? new QueryItem { Types = Texts(1, 5), Tags = Texts(0, 5) }
            : new QueryItem { Types = Texts(0, 5), Tags = Texts(1, 5) };
        return new AppendOptions
        {
            Requires = [.. Enumerable.Range(0, random.Next(4)).Select(i => new StreamRequirement(
                $"required-{i}", random.Next(2) == 0 ? ExpectedVersion.NoStream : ExpectedVersion.Exact((ulong)random.Next(2) * (ulong)random.NextInt64())))],
            Conditions = [.. Enumerable.Range(0, random.Next(3)).Select(_ => AppendCondition.FailIfMatch(
                new EventQuery([.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => Item())]),
                random.Next(3) switch { 0 => null, 1 => 0, _ => (ulong)random.NextInt64() }))],
        };
    }

    private static Protocol.AppendCondition Expected(AppendCondition condition)
    {
        var message = new Protocol.AppendCondition { Query = condition.Query.ToMessage() };
        if (condition.After is { } after)
        {
            message.After = after;
        }

        return message;
    }

    private static EventData RandomEvent(Random random)
    {
        byte[] data = new byte[random.Next(3) * random.Next(400)];
        random.NextBytes(data);
        var metadata = new Dictionary<string, string>();
        for (int i = random.Next(4); i > 1; i--)
        {
            metadata[Text(random, 20)] = random.Next(2) == 0 ? "" : Text(random, 300);
        }

        return new EventData("t" + Text(random, 20), data)
        {
            ContentType = random.Next(2) == 0 ? "" : "text/plain",
            SchemaVersion = (uint)random.Next(2) * (uint)random.Next(),
            Tags = [.. Enumerable.Range(0, random.Next(4)).Select(n => $"{n}{Text(random, 20)}")],
            Metadata = metadata,
            OccurredAt = random.Next(2) == 0 ? null : DateTimeOffset.UnixEpoch.AddTicks(random.NextInt64(-1_000_000_000, 1_000_000_000)),
        };
    }

    // One, two, three and four bytes of UTF-8 a character.
    private static string Text(Random random, int max)
    {
        string[] letters = ["a", "Z", "ß", "€", "😀", "-"];
        var text = new StringBuilder();
        for (int i = random.Next(max); i > 0; i--)
        {
            text.Append(letters[random.Next(letters.Length)]);
        }

        return text.ToString();
    }

    private static Protocol.AppendRequest Expected(Guid operationId, StreamAppend[] streams)
    {
        var request = new Protocol.AppendRequest { OperationId = ByteString.CopyFrom(operationId.ToByteArray(bigEndian: true)) };
        foreach (StreamAppend s in streams)
        {
            var stream = new Protocol.StreamAppend { Stream = s.Stream, Expected = new Protocol.ExpectedVersion() };
            switch (s.Expected.ToString())
            {
                case "any":
                    stream.Expected.Any = new Protocol.Empty();
                    break;
                case "no-stream":
                    stream.Expected.NoStream = new Protocol.Empty();
                    break;
                case "exists":
                    stream.Expected.Exists = new Protocol.Empty();
                    break;
                default:
                    stream.Expected.Version = s.Expected.Version!.Value;
                    break;
            }

            foreach (EventData e in s.Events)
            {
                var data = new Protocol.EventData
                {
                    Id = ByteString.CopyFrom(e.Id.ToByteArray(bigEndian: true)),
                    Type = e.Type,
                    Data = ByteString.CopyFrom(e.Data.Span),
                    ContentType = e.ContentType,
                    SchemaVersion = e.SchemaVersion,
                };
                data.Tags.AddRange(e.Tags);
                foreach ((string key, string value) in e.Metadata)
                {
                    data.Metadata.Add(key, value);
                }

                if (e.OccurredAt is { } time)
                {
                    data.OccurredAt = time.UtcTicks - DateTimeOffset.UnixEpoch.Ticks;
                }

                stream.Events.Add(data);
            }

            request.Streams.Add(stream);
        }

        return request;
    }
}

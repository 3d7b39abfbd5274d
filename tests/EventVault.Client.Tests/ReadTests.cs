using EventVault.Client.Tests.Support;

namespace EventVault.Client.Tests;

public sealed class ReadTests
{
    [Fact]
    public async Task The_head_comes_first_and_the_events_after_it()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        AppendResult last = await Fill(client, "a", 5);
        await Fill(client, "b", 5);
        await using ReadResult read = client.ReadStreamAsync("a");
        ReadHead head = await read.GetHeadAsync();
        Assert.Equal((9ul, 4ul), (head.LastPosition, head.LastVersion));
        Assert.True(head.RecordedAt > last.RecordedAt);
        Assert.Equal(head, await read.GetHeadAsync());
        Assert.Equal([0ul, 1, 2, 3, 4], (await read.ToListAsync()).Select(e => e.Version));
        Assert.Equal(1, node.ReadCalls);
    }

    [Fact]
    public async Task An_empty_vault_reads_as_nothing_with_an_empty_head()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        ReadResult read = client.ReadAllAsync();
        Assert.Equal(new ReadHead(null, null, null), await read.GetHeadAsync());
        Assert.Empty(await read.ToListAsync());
    }

    [Fact]
    public async Task A_stream_without_events_is_not_found()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        StreamNotFoundException e = await Assert.ThrowsAsync<StreamNotFoundException>(() => client.ReadStreamAsync("none").ToListAsync());
        Assert.Equal(("none", VaultErrorCode.StreamNotFound), (e.Stream, e.Code));
        Assert.Equal("none", (await Assert.ThrowsAsync<StreamNotFoundException>(() => client.ReadStreamAsync("none").GetHeadAsync())).Stream);
        Assert.Equal("none", (await Assert.ThrowsAsync<StreamNotFoundException>(() => client.GetStreamAsync("none"))).Stream);
    }

    [Fact]
    public async Task Pages_hand_out_the_bytes_and_build_the_same_events()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        await Fill(client, "a", 10);
        IReadOnlyList<Protocol.RecordedEvent> stored = node.Vault.Events;
        int count = 0;
        await foreach (EventPage page in client.ReadAllAsync().PagesAsync())
        {
            Assert.Equal(SubscriptionMessageKind.Event, page.Kind);
            foreach (RawEvent raw in page)
            {
                Protocol.RecordedEvent expected = stored[count++];
                Assert.Equal(expected, Protocol.RecordedEvent.Parser.ParseFrom(raw.Wire.Span));
                Assert.Equal(expected.Event, Protocol.EventData.Parser.ParseFrom(raw.EventWire.Span));
                Assert.Equal((expected.Version, expected.Position, expected.RecordedAt), (raw.Version, raw.Position, raw.RecordedAtTicks));
                Assert.Equal("a"u8.ToArray(), raw.StreamUtf8.ToArray());
                Assert.Equal(expected.Event.Data.ToByteArray(), raw.ToEvent().Data.ToArray());
            }

            Assert.Equal((ulong)count - 1, page.Position);
        }

        Assert.Equal(10, count);
    }

    [Fact]
    public async Task A_read_is_enumerated_once()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        ReadResult read = client.ReadAllAsync();
        await read.ToListAsync();
        await Assert.ThrowsAsync<InvalidOperationException>(() => read.ToListAsync());
    }

    /// <summary>Every way to read, broken off after every possible number of events, returns what the unbroken read does.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_broken_read_resumes_without_gap_or_repeat(bool drain)
    {
        var random = new Random(5);
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        for (int i = 0; i < 12; i++)
        {
            await Fill(client, i % 3 == 0 ? "b" : "a", 1 + (i % 2));
        }

        node.DrainReads = drain;
        for (int run = 0; run < 120; run++)
        {
            ReadOptions options = RandomOptions(random, node.Vault, out bool versions);
            bool all = !versions && random.Next(2) == 0;
            string? stream = all ? null : "a";
            int start = node.ReadCalls;
            int cut = random.Next(0, 8);
            node.CutReadAfter = n => n - start <= 3 ? cut : null;
            ulong[] expected = node.Vault.Read(
                stream, options.From?.ToMessage(), options.Until?.ToMessage(), (Protocol.Direction)options.Direction, options.Limit)
                .Select(e => e.Position).ToArray();
            ReadResult read = all ? client.ReadAllAsync(options) : client.ReadStreamAsync("a", options);
            if (random.Next(3) == 0)
            {
                await read.GetHeadAsync();
            }

            ulong[] actual = (await read.ToListAsync()).Select(e => e.Position).ToArray();
            Assert.True(
                expected.SequenceEqual(actual),
                $"run {run}: {options}, cut after {cut}: expected {string.Join(' ', expected)}, read {string.Join(' ', actual)}");
        }
    }

    [Theory]
    [InlineData(Direction.Forwards)]
    [InlineData(Direction.Backwards)]
    public async Task A_resumed_read_shows_nothing_that_came_after_its_head(Direction direction)
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        await Fill(client, "a", 4);
        node.CutReadAfter = n => n <= 2 ? 0 : null;
        foreach (ReadResult read in new[] { client.ReadAllAsync(new ReadOptions { Direction = direction }), client.ReadStreamAsync("a", new ReadOptions { Direction = direction }) })
        {
            ReadHead head = await read.GetHeadAsync();
            await Fill(client, "a", 4);
            ulong[] positions = [.. (await read.ToListAsync()).Select(e => e.Position)];
            Array.Sort(positions);
            Assert.Equal(Enumerable.Range(0, (int)head.LastPosition! + 1).Select(i => (ulong)i), positions);
        }
    }

    /// <summary>Backwards, what came after the head comes first at the node, and counts there against the limit.</summary>
    [Theory]
    [InlineData("nothing")]
    [InlineData("version")]
    [InlineData("position")]
    [InlineData("time")]
    public async Task A_resumed_read_backwards_has_its_whole_limit(string from)
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        await Fill(client, "a", 4);
        ReadBound? bound = from switch
        {
            "version" => ReadBound.Version(100),
            "position" => ReadBound.Position(100),
            "time" => ReadBound.Time(DateTimeOffset.MaxValue),
            _ => null,
        };
        var options = new ReadOptions { Direction = Direction.Backwards, Limit = 2, From = bound };
        ReadResult[] reads = from == "version" ? [client.ReadStreamAsync("a", options)] : [client.ReadAllAsync(options), client.ReadStreamAsync("a", options)];
        foreach (ReadResult read in reads)
        {
            int call = node.ReadCalls + 1;
            node.CutReadAfter = n => n == call ? 0 : null;
            ReadHead head = await read.GetHeadAsync();
            await Fill(client, "a", 5);
            Assert.Equal([head.LastPosition!.Value, head.LastPosition.Value - 1], (await read.ToListAsync()).Select(e => e.Position));
            Assert.Equal(call + 1, node.ReadCalls);
        }
    }

    [Theory]
    [InlineData("version")]
    [InlineData("position")]
    [InlineData("time")]
    public async Task A_resumed_read_backwards_from_before_the_head_begins_there_again(string from)
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        await Fill(client, "b", 1);
        await Fill(client, "a", 2);
        AppendResult third = await Fill(client, "a", 1);
        await Fill(client, "a", 2);
        ReadBound bound = from switch
        {
            "version" => ReadBound.Version(2),
            "position" => ReadBound.Position(3),
            _ => ReadBound.Time(third.RecordedAt),
        };
        node.CutReadAfter = n => n == 1 ? 0 : null;
        ReadResult read = client.ReadStreamAsync("a", new ReadOptions { Direction = Direction.Backwards, Limit = 2, From = bound });
        await read.GetHeadAsync();
        await Fill(client, "a", 5);
        Assert.Equal([3ul, 2], (await read.ToListAsync()).Select(e => e.Position));
        Assert.Equal(2, node.ReadCalls);
    }

    [Fact]
    public async Task Repeated_pages_are_delivered_once()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        await Fill(client, "a", 10);
        node.RepeatPages = true;
        Assert.Equal(Enumerable.Range(0, 10), (await client.ReadAllAsync().ToListAsync()).Select(e => (int)e.Position));
        Assert.Equal(
            Enumerable.Range(0, 10).Reverse(),
            (await client.ReadStreamAsync("a", new ReadOptions { Direction = Direction.Backwards }).ToListAsync()).Select(e => (int)e.Position));
    }

    [Fact]
    public async Task A_read_without_progress_gives_up_when_the_policy_says_so()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(new VaultClientOptions
        {
            Retry = new RetryPolicy { InitialDelay = TimeSpan.FromMilliseconds(1), MaxDelay = TimeSpan.FromMilliseconds(5), GiveUpAfter = TimeSpan.FromMilliseconds(200) },
        });
        await Fill(client, "a", 5);
        node.CutReadAfter = _ => 0;
        VaultException e = await Assert.ThrowsAsync<VaultException>(() => client.ReadAllAsync().ToListAsync());
        Assert.Equal(VaultErrorCode.Unreachable, e.Code);
    }

    [Fact]
    public async Task Breaking_off_and_cancelling_end_the_read()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        await Fill(client, "a", 10);
        await foreach (RecordedEvent e in client.ReadAllAsync())
        {
            if (e.Position == 3)
            {
                break;
            }
        }

        using var cancel = new CancellationTokenSource();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (RecordedEvent e in client.ReadAllAsync().WithCancellation(cancel.Token))
            {
                await cancel.CancelAsync();
            }
        });
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => client.ReadAllAsync(cancellationToken: cancel.Token).ToListAsync());
    }

    internal static async Task<AppendResult> Fill(VaultClient client, string stream, int count) =>
        await client.AppendAsync(stream, ExpectedVersion.Any, Enumerable.Range(0, count).Select(Some.Event));

    private static ReadOptions RandomOptions(Random random, MemoryVault vault, out bool versions)
    {
        bool hasVersion = false;
        ReadBound? Bound()
        {
            ulong place = (ulong)random.Next(22);
            switch (random.Next(5))
            {
                case 0:
                    hasVersion = true;
                    return ReadBound.Version(place);
                case 1:
                    return ReadBound.Position(place);
                case 2:
                    return ReadBound.Time(VaultTime.FromTicks(vault.Events[random.Next(vault.Events.Count)].RecordedAt));
                default:
                    return null;
            }
        }

        var options = new ReadOptions
        {
            From = Bound(),
            Until = Bound(),
            Direction = (Direction)random.Next(2),
            Limit = random.Next(3) == 0 ? (ulong)random.Next(1, 9) : 0,
        };
        versions = hasVersion;
        return options;
    }
}

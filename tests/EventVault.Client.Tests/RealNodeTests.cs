using EventVault.Client.Tests.Support;

namespace EventVault.Client.Tests;

/// <summary>The SDK against the real node: both sides must mean the same by the contract.</summary>
public sealed class RealNodeTests
{
    [Fact]
    public async Task Client_and_node_agree_on_the_contract()
    {
        await using NodeProcess node = await NodeProcess.StartAsync();
        await using VaultClient client = VaultClient.Connect(node.Address);

        ReadResult empty = client.ReadAllAsync();
        Assert.Equal(new ReadHead(null, null, null), await empty.GetHeadAsync());
        Assert.Empty(await empty.ToListAsync());
        Assert.Null((await client.GetStatusAsync()).Head);

        EventData[] sent =
        [
            new("order-placed", "{\"total\":12}"u8.ToArray())
            {
                SchemaVersion = 3,
                Tags = ["a", "ü€😀"],
                Metadata = new Dictionary<string, string> { ["correlationId"] = "c-1", ["empty"] = "" },
                OccurredAt = DateTimeOffset.UnixEpoch.AddTicks(-1234567),
            },
            new("blob", new byte[100_000]) { ContentType = "application/octet-stream" },
            new("empty", default),
        ];
        AppendResult result = await client.AppendAsync([
            new StreamAppend("order-1", ExpectedVersion.NoStream, sent[..2]),
            new StreamAppend("order-2", ExpectedVersion.Any, sent[2..]),
        ]);
        Assert.Equal((0ul, 2ul), (result.FirstPosition, result.LastPosition));
        Assert.Equal([new StreamVersion("order-1", 1), new StreamVersion("order-2", 0)], result.Streams);

        List<RecordedEvent> read = await client.ReadAllAsync().ToListAsync();
        Assert.Equal([("order-1", 0ul), ("order-1", 1ul), ("order-2", 0ul)], read.Select(e => (e.Stream, e.Version)));
        for (int i = 0; i < sent.Length; i++)
        {
            Assert.Equal((sent[i].Id, sent[i].Type, sent[i].SchemaVersion), (read[i].Id, read[i].Type, read[i].SchemaVersion));
            Assert.Equal(sent[i].Data.ToArray(), read[i].Data.ToArray());
            Assert.Equal(sent[i].Tags, read[i].Tags);
            Assert.Equal(sent[i].Metadata.OrderBy(m => m.Key), read[i].Metadata.OrderBy(m => m.Key));
            Assert.Equal(sent[i].OccurredAt, read[i].OccurredAt);
            Assert.Equal((result.RecordedAt, (ulong)i), (read[i].RecordedAt, read[i].Position));
        }

        var conflict = await Assert.ThrowsAsync<WrongExpectedVersionException>(() => client.AppendAsync("order-1", ExpectedVersion.Exact(0), Some.Event()));
        Assert.Equal(("order-1", ExpectedVersion.Exact(0), 1ul), (conflict.Stream, conflict.Expected, conflict.Actual));
        Assert.Equal("none", (await Assert.ThrowsAsync<StreamNotFoundException>(() => client.ReadStreamAsync("none").ToListAsync())).Stream);
        Assert.Equal(["order-1", "order-2"], (await client.ListStreamsAsync("order-", pageSize: 1).ToListAsync()).Select(s => s.Stream));
        Assert.Equal((1ul, 1ul), ((await client.GetStreamAsync("order-1")).LastVersion, (await client.GetStreamAsync("order-1")).LastPosition));

        List<RecordedEvent> backwards = await client.ReadStreamAsync("order-1", new ReadOptions { Direction = Direction.Backwards }).ToListAsync();
        Assert.Equal([1ul, 0], backwards.Select(e => e.Version));
        ReadResult stream = client.ReadStreamAsync("order-1", new ReadOptions { From = ReadBound.Version(1) });
        Assert.Equal((2ul, 1ul), ((await stream.GetHeadAsync()).LastPosition, (await stream.GetHeadAsync()).LastVersion));
        Assert.Equal(1ul, Assert.Single(await stream.ToListAsync()).Version);
    }

    [Fact]
    public async Task The_node_tells_every_limit_that_the_client_checks()
    {
        await using NodeProcess node = await NodeProcess.StartAsync();
        await using VaultClient client = VaultClient.Connect(node.Address);
        IReadOnlyList<VaultLimit> told = (await client.GetInfoAsync()).Limits;
        VaultLimits defaults = VaultLimits.Defaults;
        foreach (VaultLimit limit in new[]
        {
            defaults.StreamName, defaults.Type, defaults.ContentType, defaults.Tag, defaults.Tags, defaults.Metadata,
            defaults.MetadataEntries, defaults.Event, defaults.AppendEvents, defaults.Append, defaults.AppendRequires,
            defaults.AppendConditions, defaults.QueryItems, defaults.QueryKeys, defaults.ItemTypes, defaults.ItemTags,
        })
        {
            VaultLimit match = Assert.Single(told, t => t.Name == limit.Name);

            // A small segment holds no append of the default size.
            Assert.True(match.Allowed == limit.Allowed || limit == defaults.Append, $"{limit.Name}: the node allows {match.Allowed}, the client's default is {limit.Allowed}");
        }
    }

    /// <summary>kill −9 under load: every append is acknowledged once and written once, and the subscriber sees every event once.</summary>
    [Fact]
    public async Task Appenders_and_a_subscriber_ride_out_kills_of_the_node()
    {
        const int Appenders = 8;
        const int Kills = 3;
        await using NodeProcess node = await NodeProcess.StartAsync();
        await using VaultClient client = VaultClient.Connect(
            node.Address, new VaultClientOptions { AppendTimeout = TimeSpan.FromMinutes(2), Retry = new RetryPolicy { GiveUpAfter = TimeSpan.FromMinutes(2) } });
        await client.AppendAsync("start", ExpectedVersion.NoStream, Some.Event());
        var acknowledged = new Dictionary<Guid, ulong>();
        bool stop = false;
        Task[] appenders = [.. Enumerable.Range(0, Appenders).Select(n => Task.Run(async () =>
        {
            for (ulong i = 0; !Volatile.Read(ref stop); i++)
            {
                EventData e = Some.Event();
                AppendResult result = await client.AppendAsync($"s-{n}", i == 0 ? ExpectedVersion.NoStream : ExpectedVersion.Exact(i - 1), e);
                Assert.Equal(i, result.LastVersion);
                lock (acknowledged)
                {
                    acknowledged.Add(e.Id, result.FirstPosition);
                }
            }
        }))];

        ulong seen = 0;
        using var enough = new CancellationTokenSource();
        Task subscriber = Task.Run(async () =>
        {
            await foreach (RecordedEvent e in client.SubscribeToAllAsync().EventsAsync(enough.Token))
            {
                Assert.Equal(Volatile.Read(ref seen), e.Position);
                Volatile.Write(ref seen, e.Position + 1);
            }
        });

        for (int kill = 1; kill <= Kills; kill++)
        {
            int before = Acknowledged();
            await Wait.UntilAsync(() => Acknowledged() > before + 200 || appenders.Any(a => a.IsFaulted), "appends");
            if (kill == 2)
            {
                Assert.Equal(0, await node.StopAsync());
            }

            node.Kill();
            await node.StartAgainAsync();
        }

        Volatile.Write(ref stop, true);
        await Task.WhenAll(appenders).WaitAsync(TimeSpan.FromMinutes(2));
        List<RecordedEvent> all = await client.ReadAllAsync().ToListAsync();
        Assert.Equal(acknowledged.Count + 1, all.Count);
        foreach (RecordedEvent e in all.Skip(1))
        {
            Assert.True(acknowledged.TryGetValue(e.Id, out ulong position) && position == e.Position, $"position {e.Position} was not acknowledged as such");
        }

        await Wait.UntilAsync(() => Volatile.Read(ref seen) == (ulong)all.Count || subscriber.IsFaulted, "the subscriber");
        await enough.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => subscriber);

        int Acknowledged()
        {
            lock (acknowledged)
            {
                return acknowledged.Count;
            }
        }
    }
}

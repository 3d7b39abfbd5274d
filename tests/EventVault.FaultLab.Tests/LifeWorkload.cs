using EventVault.Client;

namespace EventVault.FaultLab.Tests;

/// <summary>
/// Writers that append, truncate, delete and tombstone; readers that hold every read against the model; and one who starts
/// scavenges again and again, and stops some.
/// </summary>
internal sealed class LifeWorkload(VaultClient client, LifeModel model, int seed)
{
    private const int StreamsPerWriter = 6;

    /// <summary>Kinds of filters, the first of which is none.</summary>
    private const int Filters = 5;

    private long _reads;
    private long _changes;
    private long _scavenges;
    private long _interruptions;

    public long Reads => Volatile.Read(ref _reads);

    public long Changes => Volatile.Read(ref _changes);

    public long Scavenges => Volatile.Read(ref _scavenges);

    public long Interruptions => Volatile.Read(ref _interruptions);

    public Task WriteAsync(int writer, CancellationToken stop) => Task.Run(
        async () =>
        {
            var random = new Random(seed + writer);
            var streams = Enumerable.Range(0, StreamsPerWriter).Select(n => model.Add(writer, n)).ToArray();
            for (var next = StreamsPerWriter; !stop.IsCancellationRequested;)
            {
                var i = random.Next(StreamsPerWriter);
                if (!await StepAsync(streams[i], random))
                {
                    streams[i] = model.Add(writer, next++);
                }

                Interlocked.Increment(ref _changes);
            }
        },
        CancellationToken.None);

    public Task ReadAsync(int reader, CancellationToken stop) => Task.Run(
        async () =>
        {
            var random = new Random(~(seed + reader));
            while (!stop.IsCancellationRequested)
            {
                try
                {
                    await ReadOnceAsync(random);
                    Interlocked.Increment(ref _reads);
                }
                catch (VaultException e) when (e.IsTransient)
                {
                    // The node was killed, and has not come back in time.
                    Interlocked.Increment(ref _interruptions);
                }
            }
        },
        CancellationToken.None);

    /// <summary>Reads all in every way once.</summary>
    public async Task CheckAllAsync()
    {
        for (var kind = 0; kind < Filters; kind++)
        {
            await ReadAllAsync(kind, backwards: false, from: null);
            await ReadAllAsync(kind, backwards: true, from: null);
        }

        foreach (var stream in model.Streams)
        {
            await ReadStreamAsync(stream, backwards: false);
            await ReadStreamAsync(stream, backwards: true);
        }

        await ListAsync("c1");
    }

    public Task ScavengeAsync(CancellationToken stop) => Task.Run(
        async () =>
        {
            var random = new Random(seed ^ 0x5ca);
            while (!stop.IsCancellationRequested)
            {
                try
                {
                    await client.StartScavengeAsync(cancellationToken: CancellationToken.None);
                    var patience = random.Next(4, 40);
                    var status = await client.GetScavengeAsync(CancellationToken.None);
                    while (status.State is ScavengeState.Running or ScavengeState.Waiting && --patience > 0 && !stop.IsCancellationRequested)
                    {
                        await Task.Delay(25, CancellationToken.None);
                        status = await client.GetScavengeAsync(CancellationToken.None);
                    }

                    if (patience == 0 && random.Next(4) == 0)
                    {
                        await client.StopScavengeAsync(cancellationToken: CancellationToken.None);
                    }

                    Interlocked.Add(ref _scavenges, status.State == ScavengeState.Done ? 1 : 0);
                }
                catch (VaultException e) when (e.IsTransient)
                {
                    Interlocked.Increment(ref _interruptions);
                }
            }
        },
        CancellationToken.None);

    // False: the stream is over.
    private async Task<bool> StepAsync(ModelStream stream, Random random)
    {
        var (first, last, _, _) = stream.Versions;
        var roll = first <= last ? random.Next(100) : 0;
        if (roll < 88)
        {
            var count = random.Next(1, 12);
            stream.BeginAppend(count);
            EventData[] events = [.. Enumerable.Range(1, count).Select(i => stream.Event(last + i))];
            var expected = first > last ? ExpectedVersion.NoStream : ExpectedVersion.Exact((ulong)last);
            var id = Guid.NewGuid();
            var written = await UntilKnownAsync(seen => client.AppendAsync(stream.Name, expected, events, new AppendOptions { OperationId = id, AttemptedAfter = seen }));
            stream.Acknowledge(written.FirstPosition);
            return true;
        }

        var change = Guid.NewGuid();
        if (roll < 96)
        {
            var before = first + 1 + random.NextInt64(last - first + 1);
            stream.BeginTruncate(before);
            await UntilKnownAsync(seen => client.TruncateStreamAsync(
                stream.Name, (ulong)before, ExpectedVersion.Exact((ulong)last), new ChangeOptions { OperationId = change, AttemptedAfter = seen }));
            stream.Acknowledge();
            return true;
        }

        var tombstone = roll == 99;
        stream.BeginTruncate(last + 1);
        await UntilKnownAsync(seen => client.DeleteStreamAsync(
            stream.Name, ExpectedVersion.Exact((ulong)last), tombstone, new ChangeOptions { OperationId = change, AttemptedAfter = seen }));
        stream.Acknowledge();
        return !tombstone;
    }

    // Sent again under its operation id until the vault says what became of it.
    private async Task<AppendResult> UntilKnownAsync(Func<SeenHead?, Task<AppendResult>> send)
    {
        SeenHead? seen = null;
        while (true)
        {
            try
            {
                return await send(seen);
            }
            catch (VaultException e) when (e.IsTransient)
            {
                seen ??= e.AttemptedAfter;
                Interlocked.Increment(ref _interruptions);
            }
        }
    }

    private async Task ReadOnceAsync(Random random)
    {
        var streams = model.Streams.ToArray();
        if (streams.Length == 0)
        {
            return;
        }

        var stream = streams[random.Next(streams.Length)];
        switch (random.Next(6))
        {
            case 0:
                await ReadStreamAsync(stream, backwards: false);
                break;
            case 1:
                await ReadStreamAsync(stream, backwards: true);
                break;
            case 2:
                await CountAsync(1 + random.Next(Filters - 1));
                break;
            case 3:
                await ListAsync(stream.Category);
                break;
            default:
                // From anywhere, also from the middle of what was removed.
                var (_, last, _, _) = stream.Versions;
                var from = random.Next(2) == 0 || last < 0 ? null : stream.PositionOf(random.NextInt64(last + 1));
                await ReadAllAsync(random.Next(Filters), random.Next(2) == 0, from);
                break;
        }
    }

    private async Task ReadStreamAsync(ModelStream stream, bool backwards)
    {
        var moment = model.Begin();
        var events = new List<RecordedEvent>();
        try
        {
            await foreach (var e in client.ReadStreamAsync(
                stream.Name, new ReadOptions { Direction = backwards ? Direction.Backwards : Direction.Forwards, Consistency = Consistency.Linearizable }))
            {
                events.Add(e);
            }
        }
        catch (StreamNotFoundException)
        {
            // Right if it has no events: then none was read.
        }

        moment.Check(events, backwards, (s, _) => s == stream);
    }

    private async Task ReadAllAsync(int filter, bool backwards, ulong? from)
    {
        var (asks, wants) = Filter(filter);
        var moment = model.Begin();
        var events = new List<RecordedEvent>();
        await foreach (var e in client.ReadAllAsync(new ReadOptions
        {
            Filter = asks,
            Direction = backwards ? Direction.Backwards : Direction.Forwards,
            From = from is { } position ? ReadBound.Position(position) : null,
            Consistency = Consistency.Linearizable,
        }))
        {
            events.Add(e);
        }

        moment.Check(events, backwards, (s, v) => wants(s, v) && (from is null || (s.PositionOf(v) is { } p && (backwards ? p <= from : p >= from)) || (s.PositionOf(v) is null && !backwards)));
    }

    private async Task CountAsync(int filter)
    {
        var (asks, wants) = Filter(filter);
        var moment = model.Begin();
        var count = await client.CountEventsAsync(asks!, consistency: Consistency.Linearizable);
        moment.CheckCount(count.Count, wants);
    }

    private async Task ListAsync(string category)
    {
        var moment = model.Begin();
        var names = new List<string>();
        await foreach (var stream in client.ListStreamsAsync(new ListStreamsOptions { Category = category, Consistency = Consistency.Linearizable }))
        {
            names.Add(stream.Stream);
        }

        moment.CheckNames(names, s => s.Category == category);
    }

    private static (EventFilter? Asks, Func<ModelStream, long, bool> Wants) Filter(int kind) => kind switch
    {
        0 => (null, (_, _) => true),
        1 => (EventFilter.OfCategory("c1"), (s, _) => s.Category == "c1"),
        2 => (EventFilter.Of(EventQuery.OfTypes(ModelStream.Type(3))), (_, v) => ModelStream.Type(v) == ModelStream.Type(3)),
        3 => (EventFilter.Of(EventQuery.Tagged(ModelStream.Tag(2))), (_, v) => ModelStream.Tag(v) == ModelStream.Tag(2)),
        _ => (
            new EventFilter { Category = "c2", Query = EventQuery.OfTypes(ModelStream.Type(1)).WithTags(ModelStream.Tag(1)) },
            (s, v) => s.Category == "c2" && ModelStream.Type(v) == ModelStream.Type(1) && ModelStream.Tag(v) == ModelStream.Tag(1)),
    };
}

using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using EventVault.Client.Tests.Support;
using EventVault.Rpc;

namespace EventVault.Client.Tests;

public sealed class VaultClientTests
{
    // Repeats a call only after a day: what ends earlier was ended.
    private static readonly VaultClientOptions Patient = new()
    {
        CallTimeout = TimeSpan.FromDays(20),
        Retry = new RetryPolicy { InitialDelay = TimeSpan.FromDays(1), MaxDelay = TimeSpan.FromDays(1), GiveUpAfter = Timeout.InfiniteTimeSpan },
    };

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Disposing_the_client_ends_a_call_that_is_answered_once(bool underWay)
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        VaultClient client = node.Connect(Patient);
        var gate = new TaskCompletionSource();
        node.BeforeUnary = () => underWay ? gate.Task : Task.CompletedTask;
        (Task refused, node.NoReads) = OnCue();
        Task<StreamInfo> call = client.GetStreamAsync("s");
        if (!underWay)
        {
            await refused.WaitAsync(Wait.Limit);
        }

        await client.DisposeAsync();
        Assert.Equal(VaultErrorCode.Closed, (await Assert.ThrowsAsync<VaultException>(() => call.WaitAsync(Wait.Limit))).Code);
        gate.SetResult();
    }

    [Theory]
    [InlineData(Fault.None, VaultErrorCode.OutcomeUnknown)] // It is under way.
    [InlineData(Fault.CutAfter, VaultErrorCode.OutcomeUnknown)]
    [InlineData(Fault.RefuseDraining, VaultErrorCode.Closed)]
    public async Task Disposing_the_client_ends_a_change_and_says_whether_it_may_be_done(Fault fault, VaultErrorCode expected)
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        int looks = 0;
        node.OnGetCluster = () =>
        {
            Interlocked.Increment(ref looks);
            return null;
        };
        VaultClient client = node.Connect(Patient);
        await ReadTests.Fill(client, "s", 1);
        var gate = new TaskCompletionSource();
        var begun = new TaskCompletionSource();
        node.BeforeUnary = () =>
        {
            begun.TrySetResult();
            return fault == Fault.None ? gate.Task : Task.CompletedTask;
        };
        node.OnChange = _ => fault;
        Task<AppendResult> change = client.DeleteStreamAsync("s", ExpectedVersion.Any);
        await begun.Task.WaitAsync(Wait.Limit);
        if (fault != Fault.None)
        {
            // Before it waits, a call that failed has the others looked for; they are looked for only once before.
            await Wait.UntilAsync(() => Volatile.Read(ref looks) > 1, "the failure to reach the client");
        }

        await client.DisposeAsync();
        Assert.Equal(expected, (await Assert.ThrowsAsync<VaultException>(() => change.WaitAsync(Wait.Limit))).Code);
        gate.SetResult();
    }

    [Fact]
    public async Task A_token_that_never_comes_holds_up_no_time_out_and_no_disposal()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        var never = new TaskCompletionSource<string>();
        var options = new VaultClientOptions
        {
            CallTimeout = TimeSpan.FromMilliseconds(200),
            AppendTimeout = TimeSpan.FromMilliseconds(200),
            CloseTimeout = TimeSpan.Zero,
            Retry = Some.Quick.Retry,
            Credentials = VaultCredentials.Token(_ => new ValueTask<string>(never.Task)),
        };
        VaultClient client = node.Connect(options);
        Task<ReadHead> subscribed = client.SubscribeToAllAsync().GetHeadAsync();
        foreach (Func<Task> call in new Func<Task>[]
        {
            () => client.GetInfoAsync(),
            () => client.ReadAllAsync().GetHeadAsync(),
            () => client.AppendAsync("s", ExpectedVersion.Any, Some.Event()),
            () => client.StartScavengeAsync(),
        })
        {
            VaultException e = await Assert.ThrowsAsync<VaultException>(() => call().WaitAsync(Wait.Limit));
            Assert.Equal(VaultErrorCode.TimedOut, e.Code); // Nothing was sent, so the outcome is known.
        }

        Assert.False(subscribed.IsCompleted);
        await client.DisposeAsync().AsTask().WaitAsync(Wait.Limit);
        Assert.Equal(VaultErrorCode.Closed, (await Assert.ThrowsAsync<VaultException>(() => subscribed.WaitAsync(Wait.Limit))).Code);
    }

    [Fact]
    public async Task A_call_that_waits_to_be_repeated_is_cancelled_with_the_callers_token()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Patient);
        (Task refused, node.NoReads) = OnCue();
        using var cancel = new CancellationTokenSource();
        Task<StreamInfo> call = client.GetStreamAsync("s", cancel.Token);
        await refused.WaitAsync(Wait.Limit);
        await cancel.CancelAsync();
        OperationCanceledException e = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call.WaitAsync(Wait.Limit));
        Assert.Equal(cancel.Token, e.CancellationToken);
    }

    [Fact]
    public async Task A_node_opens_no_connection_once_its_client_is_disposed()
    {
        var node = new VaultNode(new Uri("http://127.0.0.1:1"), isGiven: true, new VaultClientOptions(), credentials: null);
        RpcChannel reads = node.Reads;
        await node.DisposeAsync();
        Assert.Same(reads, node.Reads);
        Assert.Equal(VaultErrorCode.Closed, Assert.Throws<VaultException>(() => node.AppendsOf(0)).Code);
    }

    [Fact]
    public async Task A_piece_of_a_backup_that_is_none_breaks_the_protocol()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        node.BackupPiece = [0x0A, 0x7F, 0x01];
        await using VaultClient client = node.Connect();
        VaultException e = await Assert.ThrowsAsync<VaultException>(() => client.Backups.ReadAsync(new byte[] { 1 }).ToListAsync());
        Assert.Equal(VaultErrorCode.ProtocolViolation, e.Code);
    }

    [Theory]
    [InlineData("eventvault://127.0.0.1:7400", "http://127.0.0.1:7400/")]
    [InlineData("eventvault://vault.example", "http://vault.example:7400/")]
    [InlineData("eventvaults://vault.example/", "https://vault.example:7400/")]
    [InlineData("http://127.0.0.1:80", "http://127.0.0.1/")]
    [InlineData("http://localhost", "http://localhost:7400/")]
    [InlineData("https://[::1]:7500", "https://[::1]:7500/")]
    public void Understands_addresses(string address, string expected) => Assert.Equal(expected, Assert.Single(VaultAddress.Parse(address)).ToString());

    [Theory]
    [InlineData("eventvault://a:7400,b:7401,c", "http://a:7400/ http://b:7401/ http://c:7400/")]
    [InlineData("eventvaults://a,b/", "https://a:7400/ https://b:7400/")]
    [InlineData("EventVault://[::1]:7400, [::2],127.0.0.1:80", "http://[::1]:7400/ http://[::2]:7400/ http://127.0.0.1/")]
    public void Understands_addresses_of_several_nodes(string address, string expected) =>
        Assert.Equal(expected, string.Join(' ', VaultAddress.Parse(address)));

    [Theory]
    [InlineData("eventvault://a,a:7400", "twice")]
    [InlineData("eventvault://[::1]:7400,[0:0::1]:7400", "twice")]
    [InlineData("eventvault://a,,b", "\"\"")]
    [InlineData("eventvault://a,b:7400:1", "b:7400:1")]
    [InlineData("eventvault://a,b:70000", "b:70000")]
    [InlineData("eventvault://a,b:0", "b:0")]
    [InlineData("eventvault://::1:7400", "::1:7400")]
    [InlineData("eventvault://a,http://b", "http://b")]
    [InlineData("eventvault://a/x,b", "a/x")]
    public void Says_which_of_several_addresses_is_wrong(string address, string named)
    {
        ArgumentException e = Assert.Throws<ArgumentException>(() => VaultClient.Connect(address));
        Assert.Contains(named, e.Message, StringComparison.Ordinal);
        Assert.Contains("eventvault://a:7400,b:7400", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("127.0.0.1:7400")]
    [InlineData("localhost")]
    [InlineData("ftp://localhost")]
    [InlineData("eventvault://")]
    [InlineData("eventvault://host/path")]
    [InlineData("eventvault://user@host")]
    [InlineData("eventvault://:password@host")]
    [InlineData("eventvault://host?x=1")]
    public void Refuses_other_addresses(string address)
    {
        ArgumentException e = Assert.Throws<ArgumentException>(() => VaultClient.Connect(address));
        Assert.Contains("eventvault://host:port", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_user_may_stand_in_the_address_and_no_error_shows_the_password()
    {
        Assert.Equal("https://a:1/ https://b:7400/", string.Join(' ', VaultAddress.Parse("eventvaults://al%40ice:s3%3Acret@a:1,b", out VaultCredentials? credentials)));
        var headers = new RpcMetadata();
        await credentials!.AddToAsync(headers, CancellationToken.None);
        Assert.True(headers.TryGet("authorization", out string? header));
        Assert.Equal("al@ice:s3:cret", Encoding.UTF8.GetString(Convert.FromBase64String(header["Basic ".Length..])));
        foreach (string wrong in new[] { "eventvault://alice:s3/cret@host:x", "eventvault://:s3/cret@host", "alice:s3/cret@host" })
        {
            Assert.DoesNotContain("s3/cret", Assert.Throws<ArgumentException>(() => VaultClient.Connect(wrong)).Message, StringComparison.Ordinal);
        }

        var both = new VaultClientOptions { Credentials = VaultCredentials.Token("x") };
        Assert.Throws<ArgumentException>(() => VaultClient.Connect("eventvault://alice:s3cret@host", both));
    }

    [Fact]
    public void Refuses_settings_out_of_range() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => VaultClient.Connect("eventvault://h", new VaultClientOptions { Sessions = 0 }));

    [Fact]
    public async Task A_client_closes_with_any_close_time_out_that_it_takes()
    {
        foreach (TimeSpan wrong in new[] { TimeSpan.MaxValue, TimeSpan.FromDays(25), TimeSpan.FromTicks(-1) })
        {
            var refused = new VaultClientOptions { CloseTimeout = wrong };
            ArgumentOutOfRangeException e = Assert.Throws<ArgumentOutOfRangeException>(() => VaultClient.Connect("eventvault://h", refused));
            Assert.Equal(nameof(VaultClientOptions.CloseTimeout), e.ParamName);
        }

        foreach (TimeSpan right in new[] { TimeSpan.Zero, TimeSpan.FromMilliseconds(int.MaxValue) })
        {
            await VaultClient.Connect("eventvault://127.0.0.1:1", new VaultClientOptions { CloseTimeout = right }).DisposeAsync().AsTask().WaitAsync(Wait.Limit);
        }
    }

    [Theory]
    [InlineData("any", "any")]
    [InlineData("no-stream", "no-stream")]
    [InlineData("exists", "exists")]
    [InlineData("0", "0")]
    [InlineData("18446744073709551615", "18446744073709551615")]
    [InlineData("-1", null)]
    [InlineData("", null)]
    [InlineData("Any", null)]
    [InlineData("1.0", null)]
    public void Expected_versions_read_as_they_are_written(string text, string? expected)
    {
        Assert.Equal(expected is not null, ExpectedVersion.TryParse(text, out ExpectedVersion parsed));
        Assert.Equal(expected ?? "unspecified", parsed.ToString());
    }

    [Fact]
    public async Task Information_comes_back_typed()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        node.Limits.Add(new Protocol.Limit { Name = "event_bytes", Allowed = 4 << 20, Setting = "MaxEventBytes" });
        await using VaultClient client = node.Connect();
        VaultInfo info = await client.GetInfoAsync();
        Assert.Equal(("0.1.0", new Guid("00112233-4455-6677-8899-aabbccddeeff"), null), (info.Version, info.VaultId, info.Head));
        Assert.Equal([new VaultLimit("event_bytes", 4 << 20, "MaxEventBytes")], info.Limits);
        VaultStatus status = await client.GetStatusAsync();
        Assert.Equal(("serving", 7u, null), (status.State, status.StartNumber, status.Head));
    }

    [Fact]
    public async Task Lists_streams_page_by_page()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        await Task.WhenAll(Enumerable.Range(0, 25).Select(i => client.AppendAsync($"order-{i:00}", ExpectedVersion.NoStream, Some.Event())));
        await client.AppendAsync("other", ExpectedVersion.NoStream, Some.Event());
        List<StreamInfo> streams = await client.ListStreamsAsync("order-", pageSize: 10).ToListAsync();
        Assert.Equal(Enumerable.Range(0, 25).Select(i => $"order-{i:00}"), streams.Select(s => s.Stream));
        Assert.Equal(streams[3], await client.GetStreamAsync("order-03"));
        Assert.Equal(26, (await client.ListStreamsAsync().ToListAsync()).Count);
    }

    [Fact]
    public async Task Calls_that_only_read_are_repeated_after_passing_failures()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        await client.AppendAsync("s", ExpectedVersion.Any, Some.Event());
        node.UnaryRefusals = 3;
        Assert.Equal(0ul, (await client.GetStreamAsync("s")).LastVersion);

        await using VaultClient impatient = node.Connect(new VaultClientOptions { Retry = RetryPolicy.None });
        node.UnaryRefusals = 1;
        Assert.Equal(VaultErrorCode.Draining, (await Assert.ThrowsAsync<VaultException>(() => impatient.GetStreamAsync("s"))).Code);
    }

    [Fact]
    public async Task A_node_that_is_away_is_unreachable_within_the_time_out()
    {
        // On a busy machine the first attempt alone may take longer than a short time-out, and then nobody knows why: more time.
        VaultErrorCode code = VaultErrorCode.TimedOut;
        for (TimeSpan timeout = TimeSpan.FromMilliseconds(300); code == VaultErrorCode.TimedOut && timeout < Wait.Limit; timeout *= 3)
        {
            await using VaultClient client = VaultClient.Connect(
                "eventvault://127.0.0.1:1", new VaultClientOptions { CallTimeout = timeout, Retry = Some.Quick.Retry });
            code = (await Assert.ThrowsAsync<VaultException>(() => client.GetInfoAsync()).WaitAsync(2 * Wait.Limit)).Code;
        }

        Assert.Equal(VaultErrorCode.Unreachable, code);
    }

    [Fact]
    public async Task Names_and_events_are_checked_before_anything_is_sent()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        EventData good = Some.Event();
        async Task Refused(VaultErrorCode code, params StreamAppend[] streams)
        {
            VaultException e = await Assert.ThrowsAnyAsync<VaultException>(() => client.AppendAsync(streams));
            Assert.Equal(code, e.Code);
            Assert.Equal(code, Assert.Single(e.Failures).Code);
        }

        await Refused(VaultErrorCode.InvalidName, new StreamAppend("", ExpectedVersion.Any, [good]));
        await Refused(VaultErrorCode.InvalidName, new StreamAppend("a\nb", ExpectedVersion.Any, [good]));
        await Refused(VaultErrorCode.InvalidName, new StreamAppend("a\ud800b", ExpectedVersion.Any, [good]));
        await Refused(VaultErrorCode.ReservedName, new StreamAppend("$streams", ExpectedVersion.Any, [good]));
        await Refused(VaultErrorCode.InvalidRequest);
        await Refused(VaultErrorCode.InvalidRequest, new StreamAppend("a", default, [good]));
        await Refused(VaultErrorCode.InvalidRequest, new StreamAppend("a", ExpectedVersion.Any, []));
        await Refused(VaultErrorCode.InvalidRequest, new StreamAppend("a", ExpectedVersion.Any, [good]), new StreamAppend("a", ExpectedVersion.Any, [good]));
        await Refused(VaultErrorCode.InvalidEvent, new StreamAppend("a", ExpectedVersion.Any, [new EventData("", default)]));
        await Refused(VaultErrorCode.InvalidEvent, new StreamAppend("a", ExpectedVersion.Any, [new EventData("\udc00", default)]));
        await Refused(VaultErrorCode.InvalidEvent, new StreamAppend("a", ExpectedVersion.Any, [new EventData("t", default) { Tags = [""] }]));
        await Refused(VaultErrorCode.InvalidEvent, new StreamAppend("a", ExpectedVersion.Any, [new EventData("t", default) { Tags = ["x", "x"] }]));
        Assert.Throws<VaultException>(() => client.ReadStreamAsync(""));
        Assert.Throws<VaultException>(() => client.SubscribeToStreamAsync("a\0"));
        Assert.Equal(0, node.Sessions);
    }

    [Fact]
    public async Task Limits_are_checked_before_anything_is_sent_and_named()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        async Task Exceeds(string limit, ulong value, ulong allowed, string stream, params EventData[] events)
        {
            LimitExceededException e = await Assert.ThrowsAsync<LimitExceededException>(() => client.AppendAsync(stream, ExpectedVersion.Any, events));
            Assert.Equal((limit, value, allowed), (e.Limit, e.Value, e.Allowed));
        }

        await Exceeds("stream_name_bytes", 1026, 1024, new string('ü', 513), Some.Event());
        await Exceeds("type_bytes", 257, 256, "s", new EventData(new string('t', 257), default));
        await Exceeds("content_type_bytes", 257, 256, "s", new EventData("t", default) { ContentType = new string('c', 257) });
        await Exceeds("metadata_entries", 1025, 1024, "s", new EventData("t", default) { Metadata = Enumerable.Range(0, 1025).ToDictionary(i => $"{i}", _ => "") });
        await Exceeds("tag_bytes", 129, 128, "s", new EventData("t", default) { Tags = [new string('x', 129)] });
        await Exceeds("event_tags", 17, 16, "s", new EventData("t", default) { Tags = [.. Enumerable.Range(0, 17).Select(i => $"{i}")] });
        await Exceeds("metadata_bytes", 65_537, 65_536, "s", new EventData("t", default) { Metadata = new Dictionary<string, string> { ["k"] = new string('v', 65_536) } });
        await Exceeds("append_events", 50_001, 50_000, "s", [.. Enumerable.Repeat(Some.Event(), 50_001)]);
        LimitExceededException large = await Assert.ThrowsAsync<LimitExceededException>(
            () => client.AppendAsync("s", ExpectedVersion.Any, new EventData("t", new byte[4 << 20])));
        Assert.Equal("event_bytes", large.Limit);
        large = await Assert.ThrowsAsync<LimitExceededException>(
            () => client.AppendAsync("s", ExpectedVersion.Any, Enumerable.Repeat(new EventData("t", new byte[3 << 20]), 6)));
        Assert.Equal("append_bytes", large.Limit);
        Assert.Equal(0, node.Sessions);

        // Exactly at the limits everything goes.
        await client.AppendAsync(new string('n', 1024), ExpectedVersion.NoStream, new EventData(new string('t', 256), default)
        {
            Tags = [.. Enumerable.Range(0, 16).Select(i => $"{i:00}{new string('x', 126)}")],
            Metadata = new Dictionary<string, string> { ["k"] = new string('v', 65_535) },
        });
    }

    [Fact]
    public async Task The_nodes_own_limits_count_more_as_well_as_less_than_the_defaults()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        node.Limits.Add(new Protocol.Limit { Name = "type_bytes", Allowed = 1000, Setting = "Limits:Type" });
        node.Limits.Add(new Protocol.Limit { Name = "event_tags", Allowed = 1, Setting = "Limits:Tags" });
        await using VaultClient client = node.Connect();
        await client.AppendAsync("s", ExpectedVersion.Any, new EventData(new string('t', 1000), default));
        LimitExceededException e = await Assert.ThrowsAsync<LimitExceededException>(
            () => client.AppendAsync("s", ExpectedVersion.Any, new EventData("t", default) { Tags = ["a", "b"] }));
        Assert.Equal(("event_tags", 2ul, 1ul, "Limits:Tags"), (e.Limit, e.Value, e.Allowed, e.Setting));
        Assert.Equal(1, node.Appends);
    }

    [Fact]
    public async Task Appends_wait_behind_a_large_one_for_which_the_limits_are_looked_up()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        node.Limits.Add(new Protocol.Limit { Name = "type_bytes", Allowed = 1000, Setting = "Limits:Type" });
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        node.BeforeInfo = n => n == 1 ? gate.Task : Task.CompletedTask;
        await using VaultClient client = node.Connect();
        Task<AppendResult> large = client.AppendAsync("s", ExpectedVersion.Any, new EventData(new string('t', 1000), default));
        await Wait.UntilAsync(() => node.Infos == 1, "the look-up");
        Task<AppendResult>[] others = [.. Enumerable.Range(0, 5).Select(i => client.AppendAsync("s", ExpectedVersion.Any, Some.Event(i)))];
        for (int i = 0; i < 20; i++)
        {
            // Time for those behind it to overtake, if they could.
            await client.GetStatusAsync();
        }

        gate.SetResult();
        Assert.Equal(0ul, (await large).LastVersion);
        Assert.Equal([1ul, 2, 3, 4, 5], (await Task.WhenAll(others)).Select(r => r.LastVersion));
    }

    [Fact]
    public async Task Disposing_the_client_waits_for_appends_whose_limits_are_looked_up()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        node.Limits.Add(new Protocol.Limit { Name = "type_bytes", Allowed = 1000, Setting = "Limits:Type" });
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        node.BeforeInfo = n => n == 1 ? gate.Task : Task.CompletedTask;
        VaultClient client = node.Connect(new VaultClientOptions { CloseTimeout = Wait.Limit });
        Task<AppendResult> large = client.AppendAsync("s", ExpectedVersion.Any, new EventData(new string('t', 1000), default));
        Task<AppendResult> small = client.AppendAsync("s", ExpectedVersion.Any, Some.Event());
        await Wait.UntilAsync(() => node.Infos == 1, "the look-up");
        Task disposed = client.DisposeAsync().AsTask();
        Assert.Throws<ObjectDisposedException>(() => { _ = client.AppendAsync("s", ExpectedVersion.Any, Some.Event()); });
        gate.SetResult();
        await disposed.WaitAsync(Wait.Limit);
        Assert.Equal((0ul, 1ul), ((await large).LastVersion, (await small).LastVersion));
    }

    [Fact]
    public async Task The_look_up_of_limits_counts_against_the_time_out_of_an_append()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        node.BeforeInfo = _ => new TaskCompletionSource().Task;
        await using VaultClient client = node.Connect(new VaultClientOptions { CallTimeout = TimeSpan.FromMinutes(10), CloseTimeout = TimeSpan.Zero });
        var options = new AppendOptions { Timeout = TimeSpan.FromMilliseconds(100) };
        Task<AppendResult> large = client.AppendAsync("s", ExpectedVersion.Any, new EventData(new string('t', 1000), default), options);
        Task<AppendResult> behind = client.AppendAsync("s", ExpectedVersion.Any, Some.Event());
        VaultException e = await Assert.ThrowsAsync<VaultException>(() => large.WaitAsync(Wait.Limit));
        Assert.Equal(VaultErrorCode.TimedOut, e.Code);
        Assert.Contains("definitely not written", e.Message, StringComparison.Ordinal);

        await client.DisposeAsync().AsTask().WaitAsync(Wait.Limit);
        Assert.Equal(VaultErrorCode.Closed, (await Assert.ThrowsAsync<VaultException>(() => behind.WaitAsync(Wait.Limit))).Code);
    }

    [Fact]
    public async Task A_look_up_of_limits_that_fails_fails_only_what_needs_it()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        node.BeforeInfo = n => n == 1 ? gate.Task : Task.CompletedTask;
        await using VaultClient client = node.Connect();
        Task<AppendResult> large = client.AppendAsync("s", ExpectedVersion.Any, new EventData(new string('t', 1000), default));
        Task<AppendResult> behind = client.AppendAsync("s", ExpectedVersion.Any, Some.Event());
        gate.SetException(new Rpc.RpcException(Rpc.RpcCode.InvalidArgument, "Refused on cue."));
        VaultException e = await Assert.ThrowsAsync<VaultException>(() => large);
        Assert.Contains("Refused on cue", e.Message, StringComparison.Ordinal);
        Assert.Equal(0ul, (await behind).LastVersion);
        LimitExceededException over = await Assert.ThrowsAsync<LimitExceededException>(
            () => client.AppendAsync("s", ExpectedVersion.Any, new EventData(new string('t', 1000), default)));
        Assert.Equal("type_bytes", over.Limit);
    }

    [Fact]
    public async Task Times_outside_the_calendar_do_not_make_events_unreadable()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        node.Vault.Append(1, new Protocol.AppendRequest
        {
            OperationId = Google.Protobuf.ByteString.CopyFrom(new byte[16]),
            Streams =
            {
                new Protocol.StreamAppend
                {
                    Stream = "s",
                    Expected = new Protocol.ExpectedVersion { Any = new Protocol.Empty() },
                    Events = { new Protocol.EventData { Id = Google.Protobuf.ByteString.CopyFrom(new byte[16]), Type = "t", OccurredAt = long.MaxValue } },
                },
            },
        });
        await using VaultClient client = node.Connect();
        RecordedEvent e = Assert.Single(await client.ReadAllAsync().ToListAsync());
        Assert.Equal(long.MaxValue, e.OccurredAtTicks);
        Assert.Equal(DateTimeOffset.MaxValue.UtcTicks, e.OccurredAt!.Value.UtcTicks);
    }

    [Fact]
    public async Task Speaks_tls_and_trusts_nobody_by_default()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256);
        using X509Certificate2 certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        await using ScriptedVault node = await ScriptedVault.StartAsync(certificate: certificate);
        Assert.StartsWith("eventvaults://", node.Address, StringComparison.Ordinal);
        await using VaultClient trusting = node.Connect(new VaultClientOptions
        {
            Tls = new SslClientAuthenticationOptions
            {
                RemoteCertificateValidationCallback = (_, presented, _, _) => presented?.GetCertHashString() == certificate.GetCertHashString(),
            },
        });
        Assert.Equal(0ul, (await trusting.AppendAsync("s", ExpectedVersion.NoStream, Some.Event())).LastVersion);
        Assert.Single(await trusting.ReadAllAsync().ToListAsync());

        await using VaultClient careful = node.Connect(new VaultClientOptions { Retry = RetryPolicy.None });
        VaultException e = await Assert.ThrowsAsync<VaultException>(() => careful.AppendAsync("s", ExpectedVersion.Any, Some.Event()));
        Assert.Equal(VaultErrorCode.Unreachable, e.Code);
        Assert.Contains("TLS", e.Message, StringComparison.Ordinal);
        Assert.Single(node.Vault.Events);
    }

    [Fact]
    public void Json_events_hold_utf8()
    {
        Assert.Equal("{\"A\":1}", Encoding.UTF8.GetString(EventData.Json("t", new { A = 1 }).Data.Span));
        Assert.Equal("{\"ü\":1}", Encoding.UTF8.GetString(EventData.JsonText("t", "{\"ü\":1}").Data.Span));
    }

    // Refuses in passing, and says when it did so first.
    private static (Task Refused, Func<Protocol.Failure?> Refuses) OnCue()
    {
        var refused = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        return (refused.Task, Refuse);

        Protocol.Failure? Refuse()
        {
            refused.TrySetResult();
            return ScriptedCluster.Refusal(Protocol.Reason.Draining);
        }
    }
}

using System.Globalization;
using System.Text;
using EventVault.Client.Tests.Support;
using Google.Protobuf;

namespace EventVault.Client.Tests;

/// <summary>Folds of the application: what is read, what is kept, and what becomes of a call that is cut.</summary>
public sealed class FoldTests
{
    // The state: all numbers so far, so that one too many or too few shows.
    private static readonly Fold<string> Joined = new("joined", 2, () => "", (state, e) => $"{state} {Encoding.UTF8.GetString(e.Data.Span)}")
    {
        Save = Encoding.UTF8.GetBytes,
        Restore = bytes => Encoding.UTF8.GetString(bytes.Span),
    };

    private static readonly Fold<long> Sum = new("sum", 1, () => 0, (sum, e) => sum + long.Parse(e.Data.Span, CultureInfo.InvariantCulture));

    [Fact]
    public async Task A_fold_begins_with_its_initial_state_and_ends_at_the_cut()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        node.States.Stream = (_, _) => [Head(4), Events(0, 3), Events(3, 2)];
        FoldedState<string> state = await client.States.FoldAsync(Joined, "s", AsOf.Position(9), new StateOptions { AllowPartial = true });
        Assert.Equal((" 0 1 2 3 4", 4ul, true, 5ul, null), (state.State, state.Version, state.Exists, state.EventsFolded, state.KeptVersion));
        Assert.Equal(9ul, state.Cut.Position);
        Protocol.ReadForFoldRequest asked = Assert.Single(node.States.AskedFor<Protocol.ReadForFoldRequest>());
        Assert.Equal(("s", "joined@2", 9ul, true), (asked.Stream, asked.Fold, asked.AsOf.Position, asked.AllowPartial));
        Assert.Empty(node.States.Kept);

        node.States.Stream = (_, _) => [new Protocol.ReadForFoldResponse { Head = new Protocol.FoldHead { Deleted = true, Cut = new Protocol.Cut { Position = 9 } } }];
        FoldedState<string> none = await client.States.FoldAsync(Joined, "s");
        Assert.Equal(("", false, true, null), (none.State, none.Exists, none.Deleted, none.Version));
    }

    [Fact]
    public async Task A_kept_state_shortens_it()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        node.States.Stream = (_, _) => [Head(5, kept: (2, " kept")), Events(3, 3)];
        FoldedState<string> state = await client.States.FoldAsync(Joined, "s");
        Assert.Equal((" kept 3 4 5", 3ul, 2ul), (state.State, state.EventsFolded, state.KeptVersion));
    }

    [Fact]
    public async Task A_cut_call_goes_on_behind_the_last_event_or_with_a_state_kept_behind_it()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        node.States.Stream = (n, _) => n switch
        {
            1 => [Head(7), Events(0, 2), null],
            2 => [Head(7, kept: (0, " kept")), Events(1, 3), null],
            3 => [Head(7, kept: (4, " kept")), Events(5, 1), null],
            _ => [Head(7), Events(0, 8)],
        };
        FoldedState<string> state = await client.States.FoldAsync(Joined, "s");
        Assert.Equal((" kept 5 6 7", 4ul), (state.State, state.KeptVersion));
        Protocol.ReadForFoldRequest[] asked = node.States.AskedFor<Protocol.ReadForFoldRequest>();
        Assert.Null(asked[0].AsOf);
        Assert.All(asked.Skip(1), r => Assert.Equal((9ul, 9ul), (r.AsOf.Position, r.Consistency.AtLeast)));
    }

    [Fact]
    public async Task States_are_kept_after_1024_events_of_four_times_their_bytes_and_not_before()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        node.States.Stream = (_, _) => [Head(2999), Events(0, 1023), Events(1023, 1), Events(1024, 1000), Events(2024, 976)];
        FoldedState<long> sum = await client.States.FoldAsync(Sum, "s");
        Assert.Equal(2999L * 3000 / 2, sum.State);
        Assert.Equal([("sum@1", 0ul, 1023ul, "523776")], node.States.Kept.Take(1).Select(k => (k.Fold, k.FirstVersion, k.Version, k.State.ToStringUtf8())));
        Assert.Equal([1023ul, 2999], node.States.Kept.Select(k => k.Version));

        // 1,024 events of this state are far from four times its size.
        node.States.Kept.Clear();
        var large = new Fold<string>("large", 1, () => "", (state, e) => Joined.Apply(state, e)) { Save = _ => new byte[200_000] };
        await client.States.FoldAsync(large, "s");
        Assert.Empty(node.States.Kept);

        // Of a state that lacks events nothing is kept: others would take it for the whole.
        node.States.Stream = (_, _) => [Head(2999, partial: 1000), Events(1000, 2000)];
        Assert.Equal(1000ul, (await client.States.FoldAsync(Sum, "s")).PartialFromVersion);
        Assert.Empty(node.States.Kept);
    }

    [Fact]
    public async Task Steps_show_the_state_after_each_event_and_take_no_state_from_behind_the_first()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        node.States.Stream = (n, r) => n switch
        {
            1 => [Head(4, kept: (3, "behind")), Events(4, 1)],
            2 => [Head(4), Events(0, 4), null],
            _ => [Head(4), Events(0, 3), Events(3, 2)],
        };
        List<FoldStep<string>> steps = await client.States.StepAsync(Joined, "s", from: 2).ToListAsync();
        Assert.Equal([(2ul, " 0 1 2"), (3, " 0 1 2 3"), (4, " 0 1 2 3 4")], steps.Select(s => (s.Event.Version, s.State)));
        Assert.Equal(["joined@2", "", ""], node.States.AskedFor<Protocol.ReadForFoldRequest>().Select(r => r.Fold));

        node.States.Stream = (_, _) => [Head(4, kept: (1, " kept")), Events(2, 3)];
        Assert.Equal([" kept 2", " kept 2 3", " kept 2 3 4"], (await client.States.StepAsync(Joined, "s", from: 2).ToListAsync()).Select(s => s.State));
    }

    [Fact]
    public async Task Steps_can_be_enumerated_again()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        node.States.Stream = (_, _) => [Head(1), Events(0, 2)];
        IAsyncEnumerable<FoldStep<string>> steps = client.States.StepAsync(Joined, "s");
        for (int i = 0; i < 2; i++)
        {
            Assert.Equal([" 0", " 0 1"], (await steps.ToListAsync()).Select(s => s.State));
        }
    }

    [Fact]
    public async Task Events_truncated_between_two_attempts_are_not_passed_over()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect(Some.Quick);
        node.States.Stream = (n, _) => n == 1 ? [Head(4), Events(0, 2), null] : [Head(4, partial: 3), Events(3, 2)];
        await Assert.ThrowsAsync<IncompleteHistoryException>(() => client.States.FoldAsync(Joined, "s", options: new StateOptions { AllowPartial = true }));
    }

    [Fact]
    public async Task A_second_axis_and_bad_names_are_refused()
    {
        await using ScriptedVault node = await ScriptedVault.StartAsync();
        await using VaultClient client = node.Connect();
        VaultException axis = await Assert.ThrowsAsync<VaultException>(() => client.States.FoldAsync(Sum, "s", AsOf.Latest.WithOccurred(DateTimeOffset.UnixEpoch)));
        Assert.Equal(VaultErrorCode.InvalidRequest, axis.Code);
        Assert.Throws<ArgumentException>(() => new Fold<int>(new string('x', 255), 1, () => 0, (s, _) => s));
        Assert.Throws<ArgumentOutOfRangeException>(() => new Fold<int>("x", 0, () => 0, (s, _) => s));
    }

    private static Protocol.ReadForFoldResponse Head(ulong last, (ulong Version, string State)? kept = null, ulong? partial = null)
    {
        var head = new Protocol.FoldHead { Cut = new Protocol.Cut { Position = 9 }, Exists = true, LastVersion = last };
        if (kept is var (version, state))
        {
            (head.KeptVersion, head.KeptState) = (version, ByteString.CopyFromUtf8(state));
        }

        if (partial is { } from)
        {
            head.PartialFromVersion = from;
        }

        return new Protocol.ReadForFoldResponse { Head = head };
    }

    // The data of each is its version.
    private static Protocol.ReadForFoldResponse Events(int first, int count)
    {
        var list = new Protocol.EventList();
        list.Events.AddRange(Enumerable.Range(first, count).Select(v => new Protocol.RecordedEvent
        {
            Stream = "s",
            Version = (ulong)v,
            Position = (ulong)v,
            Event = new Protocol.EventData { Id = ByteString.CopyFrom(new byte[16]), Type = "T", Data = ByteString.CopyFromUtf8($"{v}") },
        }));
        return new Protocol.ReadForFoldResponse { Events = list };
    }
}

using System.Text;
using EventVault.Storage.Log;
using EventVault.Storage.Tests.Log;
using EventVault.Storage.Tests.Queries;

namespace EventVault.Storage.Tests.Models;

/// <summary>Compares reads of all kinds with the plain list of what is committed.</summary>
internal sealed class ReadChecks(ModelVault vault)
{
    private VaultModel Model => vault.Committed;

    private EventReader Reader => vault.Storage.Reader;

    public void ReadAll(ReadAllStep step)
    {
        var (low, high) = Range(step.From, step.Until, Model.Count);
        var expected = Model.Events.Where(e => Model.IsVisible(e) && e.Position >= low && e.Position <= high).ToList();
        var (at, end) = step.Backwards ? (high, low) : (low, high);
        var read = new List<ModelEvent>();
        for (var looked = 1; looked > 0;)
        {
            var sink = new ListSink(Model.Events, read, step.Page);
            looked = Reader.ReadAll(new Position(at), new Position(end), step.Backwards, ref sink);
            at = step.Backwards ? Math.Min(at, Model.Count - 1) - looked : Math.Max(at, 0) + looked;
        }

        AssertSame(expected, read, step.Backwards);
        CheckTime(step.From);
    }

    public void ReadStream(ReadStreamStep step)
    {
        var events = Model.Events.Where(e => e.Stream == step.Stream).ToList();
        var stream = Reader.Reference(Encoding.UTF8.GetBytes(step.Stream));
        Assert.Equal(events.Count - 1, Reader.LastVersion(stream).Value);
        Assert.Equal(Model.Lives.GetValueOrDefault(step.Stream).First, Reader.FirstVisible(stream).Value);
        if (events.Count == 0)
        {
            return;
        }

        var (low, high) = Range(step.From, step.Until, events.Count);
        (low, high) = (Math.Clamp(low, 0, events.Count - 1), Math.Clamp(high, 0, events.Count - 1));
        var (at, end) = step.Backwards ? (high, low) : (low, high);
        var read = new List<ModelEvent>();
        while (step.Backwards ? at >= end : at <= end)
        {
            var sink = new ListSink(Model.Events, read, step.Page);
            var looked = Reader.ReadStream(stream, new StreamVersion(at), new StreamVersion(end), step.Backwards, ref sink);
            Assert.True(looked > 0, $"Nothing of {step.Stream} read from version {at}.");
            at += step.Backwards ? -looked : looked;
        }

        AssertSame([.. events.Where(e => Model.IsVisible(e) && e.Version >= low && e.Version <= high)], read, step.Backwards);
        if (Model.IsVisible(events[(int)low]))
        {
            Assert.Equal(events[(int)low].Position, Reader.PositionOf(stream, new StreamVersion(low)).Value);
            var first = Reader.FirstVersionAtOrAfter(stream, new Position(events[(int)low].Position), Reader.LastVersion(stream)).Value;
            Assert.Equal(low, first);
        }
    }

    public void Filter(FilterStep step)
    {
        var filter = step.Filter;
        if (step.IdOf >= 0)
        {
            filter = filter with { EventId = Model.Count == 0 ? 7 : ModelFilter.LabelsOf(Model.Events[step.IdOf % Model.Count]).Id };
        }

        var (low, high) = Range(step.From, step.Until, Model.Count);
        QueryModel.CheckReads(vault.Storage, Model, filter, low, high, new Random(step.Draw));
        var last = Reader.LastMatch(filter.For(vault.Storage), new Position(Math.Max(-1, low)), out var through);
        Assert.Equal(Model.Count - 1, through.Value);
        QueryModel.CheckMatch(Model, filter, Math.Max(-1, low), last);
        vault.Count("filtered reads");
    }

    public void List(ListStep step)
    {
        if (step.IsCategory && (step.Prefix.Length == 0 || step.Prefix.Contains('-', StringComparison.Ordinal)))
        {
            return; // No category.
        }

        var expected = Model.Versions.Keys.Where(n => Model.HasEvents(n) && IsListed(step, n)).Order(StringComparer.Ordinal).ToList();
        var names = new List<string>();
        var prefix = Encoding.UTF8.GetBytes(step.Prefix);
        byte[]? after = [];
        for (var calls = 0; after is not null; calls++)
        {
            Assert.InRange(calls, 0, 1_000);
            byte[]? looked;
            var page = step.IsCategory
                ? vault.Storage.Streams.ListCategory(prefix, after, step.Page, step.Looks, out looked)
                : vault.Storage.Streams.List(prefix, after, step.Page, step.Looks, out looked);
            Assert.InRange(page.Count, 0, step.Page);
            foreach (var details in page)
            {
                var name = Encoding.UTF8.GetString(details.Name);
                var last = Model.Events.FindLast(e => e.Stream == name)!;
                Assert.Equal((last.Version, last.Position, last.RecordedAt, Model.Lives.GetValueOrDefault(name).First), (details.LastVersion.Value, details.LastPosition.Value, details.LastRecordedAt, details.FirstVersion.Value));
                names.Add(name);
            }

            after = looked ?? (page.Count == step.Page ? page[^1].Name : null);
        }

        Assert.Equal(expected, names);
        vault.Count("lists");
    }

    private static bool IsListed(ListStep step, string name) => step.IsCategory
        ? name.Split('-')[0] == step.Prefix
        : name.StartsWith(step.Prefix, StringComparison.Ordinal) && (name[0] != '$' || step.Prefix.StartsWith('$'));

    // The first position at or after a time that some event was recorded at, or one beside it.
    private void CheckTime(int at)
    {
        if (Model.Count > 0)
        {
            var time = Model.Events[Math.Clamp(at, 0, 999) * Model.Count / 1000].RecordedAt + ((at & 3) - 1);
            var expected = Model.Events.FindIndex(e => e.RecordedAt >= time);
            expected = expected < 0 ? Model.Count : expected;

            // A time that lies among what is gone is answered by a position between the same events that are left.
            var found = (int)Reader.FirstAtOrAfter(time).Value;
            Assert.True(found == expected || (vault.IsScavenged && found < expected && !Model.Events.Skip(found).Take(expected - found).Any(Model.IsVisible)), $"Time {time} is answered by {found}, not {expected}.");
        }
    }

    private static (long Low, long High) Range(int from, int until, int count)
    {
        var (a, b) = ((long)(from * (count + 1) / 1000), (long)(until * (count + 1) / 1000));
        return (Math.Min(a, b), Math.Max(a, b));
    }

    private static void AssertSame(List<ModelEvent> expected, List<ModelEvent> read, bool backwards)
    {
        if (backwards)
        {
            expected.Reverse();
        }

        Assert.True(expected.SequenceEqual(read), $"Read {string.Join(' ', read.Select(e => e.Position))} instead of {string.Join(' ', expected.Select(e => e.Position))}.");
    }

    private struct ListSink(List<ModelEvent> events, List<ModelEvent> read, int most) : IEventSink
    {
        private int _count;

        public bool Accept(in EventView e)
        {
            var model = events[(int)e.Position.Value];
            Assert.True(e.Version.Value == model.Version && e.RecordedAt == model.RecordedAt && e.Stream.SequenceEqual(model.Name) && e.EventData.SequenceEqual(model.Bytes), $"Event {e.Position} is not what was written.");
            read.Add(model);
            return ++_count < most;
        }
    }
}

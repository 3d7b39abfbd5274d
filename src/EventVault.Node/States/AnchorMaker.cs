// Anchors of truncations: what makes states stay what they were when the events below them go. Whoever queues a truncation makes
// them first, for the newest version of each named reducer that has the stream's category; the sequencer writes them with it, or,
// if reducers or the stream have changed meanwhile, says that somebody has to look again.
using EventVault.Node.Services;
using EventVault.Storage;
using EventVault.Storage.Log;
using EventVault.Temporal;
using EventVault.Temporal.Reducers;
using AnchorEvent = EventVault.Storage.Log.AnchorEvent;

namespace EventVault.Node.States;

/// <summary>Makes anchors. Safe for concurrent use.</summary>
internal sealed class AnchorMaker(EventReader reader, StateReader states, ReducerRegistry registry, FoldPlaces places)
{
    /// <summary>Whether a stream has states that a truncation must not change.</summary>
    /// <exception cref="DamageException">A definition is damaged.</exception>
    public bool AreNeeded(byte[] stream) => registry.Current().Covering(stream).Any();

    /// <summary>The anchors of a truncation that is to be queued.</summary>
    /// <param name="name">The stream.</param>
    /// <param name="before">First version that will be kept.</param>
    /// <param name="cancellation">Ends it, waiting or folding. What was folded is not folded again.</param>
    /// <exception cref="Rpc.RpcException">There is nothing to truncate yet, or this node can't read a definition.</exception>
    /// <exception cref="StateTooLargeException">A state has grown beyond its limit.</exception>
    /// <exception cref="StreamChangedException">Events were scavenged meanwhile, again and again.</exception>
    /// <exception cref="DamageException">Events are damaged.</exception>
    public async ValueTask<TruncationAnchors> MakeAsync(byte[] name, StreamVersion before, CancellationToken cancellation)
    {
        var reducers = registry.Current();
        var stream = reader.Reference(name);
        var last = reader.LastVersion(stream);
        var first = reader.FirstVisible(stream); // Behind the last one: who deletes the stream now is seen by the sequencer.
        var events = new List<AnchorEvent>();
        var hashes = new HashSet<string>(StringComparer.Ordinal);
        foreach (var defined in reducers.Covering(name))
        {
            var reducer = ReducerRequests.Readable(defined, "stream");
            if (before > last + 1)
            {
                // The sequencer would refuse it, too, unless events came meanwhile, of which there would be no anchor.
                throw (last < first ? Errors.StreamNotFound(Errors.Name(name)) : Errors.BehindEnd(Errors.Name(name), before, last)).ToException();
            }

            // Two names may say the same: one anchor is enough.
            if (hashes.Add(Convert.ToHexString(reducer.Hash)) && await MakeAsync(reducer, stream, before, before.Value - first.Value, cancellation) is { } anchor)
            {
                events.Add(anchor);
            }
        }

        return new TruncationAnchors(reducers.Through, first, events);
    }

    private async ValueTask<AnchorEvent?> MakeAsync(Reducer reducer, StreamReference stream, StreamVersion before, long mostEvents, CancellationToken cancellation)
    {
        AnchorEvent? Make() => states.MakeAnchor(reducer, stream, before, cancellation) is { } made ? new AnchorEvent(made.Stream, made.EventData) : null;
        if (mostEvents <= FoldPlaces.LongEvents)
        {
            return Make();
        }

        using var place = await places.TakeAsync(cancellation, isOurOwn: true);
        return await Task.Factory.StartNew(Make, cancellation, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }
}

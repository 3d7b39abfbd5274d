using System.Buffers;
using System.Diagnostics;
using System.Security.Cryptography;
using EventVault.Protocol;
using EventVault.Temporal;
using EventVault.Temporal.Reducers;
using Google.Protobuf;
using FoldCounts = EventVault.Protocol.FoldCounts;
using Position = EventVault.Storage.Position;

namespace EventVault.Node.Services;

/// <summary>Makes messages of states.</summary>
internal static class StateMessages
{
    /// <summary>A state as clients get it, without cut and token.</summary>
    /// <param name="stream">Its stream.</param>
    /// <param name="reducer">What folded it.</param>
    /// <param name="answer">The state; read here, so that it may change behind.</param>
    /// <param name="began">When the work for it began, as <see cref="Stopwatch.GetTimestamp"/> tells.</param>
    /// <param name="foldedBefore">Along a range: events that were folded for the states before.</param>
    public static State ToMessage(string stream, Reducer reducer, StateAnswer answer, long began, long foldedBefore = 0)
    {
        var message = new State
        {
            Stream = stream,
            Exists = answer.Exists,
            Deleted = answer.Deleted,
            ReducerHash = ByteString.CopyFrom(reducer.Hash),
            Counts = new FoldCounts(),
            Cost = new FoldCost
            {
                EventsFolded = (ulong)(answer.EventsFolded - foldedBefore),
                Microseconds = (ulong)Stopwatch.GetElapsedTime(began).TotalMicroseconds,
            },
        };
        if (answer.KeptVersion is { } kept)
        {
            message.Cost.KeptVersion = (ulong)kept.Value;
        }

        if (answer.PartialFrom is { } partial)
        {
            message.PartialFromVersion = (ulong)partial.Value;
        }

        if (answer.Position != Position.None)
        {
            message.Position = (ulong)answer.Position.Value;
            message.RecordedAt = answer.RecordedAt;
        }

        if (answer.State is { } state)
        {
            Invariant.Check(answer.Exists && answer.Version.Value >= 0, "A state is that of an event.");
            var json = new ArrayBufferWriter<byte>();
            state.WriteJson(json);
            var counts = state.Counts;
            message.Json = UnsafeByteOperations.UnsafeWrap(json.WrittenMemory);
            message.StateHash = ByteString.CopyFrom(SHA256.HashData(json.WrittenSpan));
            message.Version = (ulong)answer.Version.Value;
            message.OccurredAt = answer.OccurredAt;
            message.Counts = new FoldCounts
            {
                Events = (ulong)counts.Events,
                Skipped = (ulong)counts.Skipped,
                TypeMismatches = (ulong)counts.Mismatches,
                Errors = (ulong)counts.Errors,
            };
        }

        return message;
    }
}

using EventVault.Node.Services;
using EventVault.Node.Tests.Support;
using EventVault.Protocol;
using Google.Protobuf;

namespace EventVault.Node.Tests;

public sealed class AnswerMessageTests
{
    [Fact]
    public async Task The_answer_encoded_by_hand_is_the_one_that_a_single_append_gets()
    {
        await using var node = await TestNode.StartAsync();
        var request = Make.Append(Make.Stream("a", Make.Any, Make.Events(200)), Make.Stream("bé", Make.NoStream));
        var bytes = request.ToByteArray();
        var append = new SingleAppend(node.Node.Storage);
        append.Reset();
        var reader = new AppendRequestReader(node.Node.Storage, new NodeLimits(new NodeOptions { Directory = "/" }, node.Node.Storage));
        Assert.Null(reader.Read(bytes, 0, bytes.Length, append.Content));
        Assert.Equal(AppendOutcome.Appended, await node.Node.AppendAsync(append));
        Assert.Null(AppendAnswers.Answer(node.Node.Storage.Reader, append, string.Empty, out var single));

        var encoded = new byte[AppendAnswers.AppendedBytes(append)];
        Assert.Equal(encoded.Length, AppendAnswers.Encode(append, encoded, 0));
        Assert.Equal(single, AppendResponse.Parser.ParseFrom(encoded));
        foreach (var requestId in new ulong[] { 0, 1, 127, 128, ulong.MaxValue })
        {
            var message = new AnswerMessage();
            message.AddAppended(requestId, append);
            message.AddResponse(requestId, single!);
            message.AddError(requestId, Errors.StreamNotFound("s").ToAppendError());
            var decoded = AppendSessionResponse.Parser.ParseFrom(message.Encoded);
            Assert.Equal(new AppendResponse?[] { single, single, null }, decoded.Results.Select(r => r.Result));
            Assert.All(decoded.Results, r => Assert.Equal(requestId, r.RequestId));
            Assert.Equal(Reason.StreamNotFound, decoded.Results[2].Error.Detail.Failures[0].Reason);
        }
    }
}

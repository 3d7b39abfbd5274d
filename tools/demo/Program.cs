return await EventVault.Demo.DemoRun.RunAsync();
